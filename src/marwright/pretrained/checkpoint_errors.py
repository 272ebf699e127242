"""What goes wrong in other people's loaders, as a sentence that names the cause."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marwright.errors import CheckpointError, first_line
from marwright.installed import is_installed
from marwright.pretrained.config_file import wrong_in_config
from marwright.pretrained.pointers import is_pointer

SENTENCEPIECE_READERS = ("sentencepiece", "google.protobuf")
SENTENCEPIECE = "pip install 'marwright[sentencepiece]'"
# What transformers calls whatever it cannot read as a SentencePiece model.
TIKTOKEN = "tiktoken"


@contextmanager
def loading(checkpoint: str, folder: str) -> Iterator[None]:
    """Turn whatever a loader raises into a sentence that names a checkpoint as the configuration does.

    The loader is given a folder or a hub id.

    Raises:
        CheckpointError: instead of any error of transformers, tokenizers, safetensors, torch or the hub's client.
    """
    try:
        yield
    except CheckpointError:
        raise
    # Their errors have no common parent: SafetensorError and those of tokenizers are plain exceptions.
    except Exception as error:
        raise CheckpointError(f"{checkpoint}: {_cause(error, checkpoint, Path(folder))}") from error


def _cause(error: Exception, checkpoint: str, folder: Path) -> str:
    message = _without_names(str(error), checkpoint, folder)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        found = f"no space is left on the disk while it was loaded ({error.filename or 'in the cache of the hub'})"
    elif isinstance(error, PermissionError):
        found = f"{error.filename}: may not be read"
    elif isinstance(error, MemoryError) or "not enough memory" in message:
        found = "this machine has not the memory to load it"
    elif "custom code" in message or "trust_remote_code" in message:
        found = (
            "it comes with Python code of its own, which marwright never runs. Take an encoder whose family is part of "
            "transformers"
        )
    elif (missing := _missing_package(error, message, folder)) is not None:
        found = missing
    elif "does not recognize this architecture" in message:
        found = f"{first_line(error)}. It is newer than the transformers installed here, or misspelt in config.json"
    elif "Unrecognized configuration class" in message:
        found = "its family has no sequence classifier in transformers"
    else:
        found = _in_files(error, folder) if folder.is_dir() else _elsewhere(error, message)
    return found


def _without_names(message: str, checkpoint: str, folder: Path) -> str:
    """What a message says itself: a path, a hub id or a file in it may have any words in its name."""
    for name in sorted({str(folder), checkpoint, folder.name, checkpoint.rpartition("/")[2]} - {""}, key=len)[::-1]:
        message = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", message)
    return re.sub(r"\S*[/\\]\S*|\S+\.(?:model|json|txt|bin|safetensors|tiktoken)\b", "…", message)


def _missing_package(error: Exception, message: str, folder: Path) -> str | None:
    said = message.lower()
    if any(name in said for name in ("sentencepiece", "protobuf", TIKTOKEN)):
        if not all(map(is_installed, SENTENCEPIECE_READERS)):
            return f"its tokenizer is a SentencePiece model, and a package to read it is missing: {SENTENCEPIECE}"
        models = ", ".join(sorted(file.name for file in folder.glob("*.model")))
        if TIKTOKEN in said and models:
            return f"{models} is no SentencePiece model, or a damaged one. Fetch it again"
        if "is required" in said and not is_installed(TIKTOKEN):
            return f"a package that it needs is missing: pip install {TIKTOKEN}"
    if not isinstance(error, ImportError):
        return None
    name = getattr(error, "name", None)
    return f"a package that it needs is missing: {f'pip install {name}' if name else first_line(error)}"


def _in_files(error: Exception, folder: Path) -> str:
    """The cause of an error with a folder that is there."""
    config = folder / "config.json"
    if (folder / "adapter_config.json").is_file() and not _has_weights(folder):
        return (
            "the folder has an adapter (adapter_config.json) and not the model that it adapts: merge them with "
            "merge_and_unload() of peft, and save the merged model there"
        )
    if not config.is_file():
        inner = [file.parent.name for file in sorted(folder.glob("*/config.json")) if _has_weights(file.parent)]
        of = f"; name the folder {folder / inner[0]} inside it, which has one" if inner else ""
        return f"the folder has no config.json, so that nobody can tell which model it holds{of}"
    if (wrong := wrong_in_config(config)) is not None:
        return wrong
    if "valid JSON" in str(error) or "Unrecognized model" in str(error):
        return f"{config} is not the configuration of a model of transformers (no JSON object with a model_type)"
    if "no file named" in str(error):
        ends = ("h5", "msgpack", "onnx", "ckpt", "gguf")
        unread = [str(file.relative_to(folder)) for end in ends for file in folder.rglob(f"*.{end}*")]
        of = f"; {', '.join(sorted(unread))} cannot be read here" if unread else ""
        return f"the folder has no weights (model.safetensors){of}"
    why = f"no {error} in its files" if isinstance(error, KeyError) else first_line(error)
    return _in_weights(error, folder) or f"cannot load this checkpoint ({why})"


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("model*.safetensors")) or any(folder.glob("pytorch_model*.bin"))


def _in_weights(error: Exception, folder: Path) -> str | None:
    weights = [file for pattern in ("*.safetensors", "*.bin") for file in sorted(folder.glob(pattern))]
    names = ", ".join(file.name for file in weights)
    for file in filter(is_pointer, weights):
        return f"{file} is a pointer of Git LFS and not the weights: run git lfs pull there"
    if type(error).__name__ == "SafetensorError":
        return f"{names}: damaged or cut short ({first_line(error)}). Fetch it again"
    if type(error).__name__ == "UnpicklingError" or isinstance(error, EOFError):
        return (
            f"{names}: a pickle that is damaged, or that holds more than weights; marwright does not run it. "
            "Take a checkpoint with model.safetensors"
        )
    return None


def _elsewhere(error: Exception, message: str) -> str:
    """The cause where the name is of no folder here."""
    from marwright.pretrained.checkpoints import PACKAGED_MINILM

    cures = f"Give a folder, a hub id that can be reached from here, or {PACKAGED_MINILM}."
    kinds = {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}
    refused = "GatedRepoError" in kinds or re.search(r"\bgated\b|\b40[13]\b", message) is not None
    unreachable = not kinds.isdisjoint(("OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectError"))
    if not refused and (unreachable or re.search(r"connect\b|offline|cached files", message, re.IGNORECASE)):
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") else ""
        why = f"no such folder here, and the model hub cannot be reached{offline}"
    elif refused:
        why = "the model hub wants a login that may read it: run hf auth login"
    else:
        why = first_line(error)
    return f"cannot load this checkpoint ({why}). {cures}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it was raised from, or while handling."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
