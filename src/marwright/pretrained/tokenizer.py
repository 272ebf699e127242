"""Loads a checkpoint's tokenizer, or says what keeps it from being one that a worker can run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marwright.errors import CheckpointError, first_line
from marwright.installed import is_installed
from marwright.pretrained.checkpoint_errors import SENTENCEPIECE, loading
from marwright.pretrained.checkpoints import quiet_transformers, resolve
from marwright.pretrained.pointers import check_pointers
from marwright.pretrained.special_tokens import CONVENTIONAL, SPELLED_OUT, as_ordinary_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SENTENCEPIECE_FILES = ("spm.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model", "tokenizer.model")
# What a tokenizer can be made from, besides tokenizer.json.
VOCABULARY_FILES = (*SENTENCEPIECE_FILES, "vocab.txt", "vocab.json", "tokenizer.tiktoken")
READ_WITHOUT_JSON = (*VOCABULARY_FILES, "merges.txt", "config.json")
# A sign that few vocabularies have, and one that Unicode leaves to private use.
UNHEARD_OF = "a \N{SNOWMAN} b \ue000"
CURE = "Copy the tokenizer's files of the model it was made from beside config.json, or name a checkpoint that has them"


def load_tokenizer(checkpoint: str, max_length: int) -> Tokenizer:
    """The tokenizer of a checkpoint, cutting texts at ``max_length`` tokens and never padding.

    To it the spellings of special tokens are ordinary characters (:mod:`marwright.pretrained.special_tokens`).

    Raises:
        CheckpointError: the checkpoint cannot be found, has no tokenizer or none that a worker can run.
    """
    where = resolve(checkpoint)
    folder = Path(where)
    whole = (folder / "tokenizer.json").is_file()
    with loading(checkpoint, where):
        check_pointers(checkpoint, (folder / name for name in (["tokenizer.json"] if whole else READ_WITHOUT_JSON)))
    if whole:
        tokenizer = _from_json(checkpoint, folder / "tokenizer.json")
        declared = _declared(folder)
    else:
        if folder.is_dir():
            _check_files(checkpoint, folder)
        tokenizer, declared = _converted(checkpoint, where)
    tokenizer = as_ordinary_text(tokenizer, declared)
    if not set(tokenizer.get_vocab()) - declared - set(CONVENTIONAL):
        raise CheckpointError(f"{checkpoint}: its tokenizer knows no words, only special tokens. {CURE}.")
    _check_reading(checkpoint, tokenizer)
    tokenizer.enable_truncation(max_length)
    tokenizer.no_padding()
    return tokenizer


def _from_json(checkpoint: str, file: Path) -> Tokenizer:
    from tokenizers import Tokenizer, __version__

    try:
        return Tokenizer.from_file(str(file))
    # The library raises plain exceptions.
    except Exception as error:
        raise CheckpointError(
            f"{checkpoint}: {file.name} cannot be read; it is damaged, or made for another version of tokenizers than "
            f"{__version__} ({' '.join(str(error).split())[:120]})"
        ) from error


def _declared(folder: Path) -> set[str]:
    """Names of special tokens in the files beside ``tokenizer.json``."""
    found: set[str] = set()
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        for role, token in _settings(folder / name).items():
            content = token.get("content") if isinstance(token, dict) else token
            if role.endswith("_token") and isinstance(content, str):
                found.add(content)
    return found


def _check_files(checkpoint: str, folder: Path) -> None:
    """Refuse a folder that has no tokenizer, or one that nothing here can read."""
    there = [name for name in VOCABULARY_FILES if (folder / name).is_file()]
    if not there:
        raise CheckpointError(
            f"{checkpoint}: the folder has no tokenizer, neither tokenizer.json nor {', '.join(VOCABULARY_FILES)}. "
            f"{CURE}."
        )
    if written_in_python := _python_class(folder):
        raise _only_in_python(checkpoint, written_in_python)
    if set(there) <= set(SENTENCEPIECE_FILES) and not is_installed("sentencepiece"):
        raise CheckpointError(
            f"{checkpoint}: its tokenizer is {there[0]}, and the package sentencepiece, which reads it, is missing: "
            f"{SENTENCEPIECE}"
        )


def _python_class(folder: Path) -> str | None:
    """The class that the folder names for its tokenizer, if transformers has it in Python only."""
    named = (_settings(folder / file).get("tokenizer_class") for file in ("tokenizer_config.json", "config.json"))
    name = next(filter(None, named), None)
    if not isinstance(name, str):
        return None
    from transformers import TokenizersBackend
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    found: Any = tokenizer_class_from_name(name)
    # Some classes import what they need with their module, and are stand-ins without it.
    if found is None or (isinstance(found, type) and issubclass(found, TokenizersBackend)):
        return None
    return name if name not in ("PreTrainedTokenizer", "PythonBackend") else None


def _settings(file: Path) -> dict[str, Any]:
    """What a file says that nobody needs: nothing where it is missing or broken."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _only_in_python(checkpoint: str, name: str) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint}: its tokenizer ({name}) is written in Python and has no tokenizer.json, which is all that a "
        "worker runs; no package helps. Take an encoder for the same language with a tokenizer.json, such as a "
        "multilingual one (intfloat/multilingual-e5-small)."
    )


def _converted(checkpoint: str, where: str) -> tuple[Tokenizer, set[str]]:
    """What transformers makes of a checkpoint's files, and the names of its special tokens."""
    from transformers import AutoTokenizer

    quiet_transformers()
    with loading(checkpoint, where):
        found = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise _only_in_python(checkpoint, type(found).__name__)
    return backend, set(found.all_special_tokens)


def _check_reading(checkpoint: str, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that gives up on a text: so would the worker."""
    try:
        tokenizer.encode_batch([SPELLED_OUT, UNHEARD_OF, ""])
    # The library raises plain exceptions.
    except Exception as error:
        raise CheckpointError(
            f"{checkpoint}: its tokenizer cannot read every text ({first_line(error)}): it has no token for what it "
            "does not know. Name one that is in its vocabulary, as unk_token or unk_id of the model in tokenizer.json."
        ) from error
