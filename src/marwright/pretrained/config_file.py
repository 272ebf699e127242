"""What is wrong in a ``config.json``: it cannot be read, or no model can be trained with its settings."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marwright.errors import CheckpointError
from marwright.pretrained.families import FAMILIES
from marwright.pretrained.pointers import is_pointer

_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def wrong_in_config(file: Path) -> str | None:
    """The cause and its cure; none if loaders can read the file, or if something else keeps them from it."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if is_pointer(file):
        return f"{file} is a pointer of Git LFS and not the file itself: run git lfs pull there"
    if content.startswith(_MARKS):
        return f"{file} begins with a byte order mark, which loaders do not read: save it as UTF-8 without one"
    try:
        settings = json.loads(content)
    except ValueError:
        return None
    if isinstance(settings, dict) and not _are_labels(settings.get("id2label")):
        return f"id2label in {file} is no object with numbers for its keys. Remove id2label and label2id from the file"
    return None


def _are_labels(names: Any) -> bool:
    return names is None or (isinstance(names, dict) and all(key.lstrip("-").isdecimal() for key in names))


def check_settings(config: Any, checkpoint: str) -> None:
    """Refuse a configuration object of transformers that describes no model that can be trained.

    Raises:
        CheckpointError: a size is less than 1, the activation is unknown, or the weights are quantized.
    """
    from transformers.activations import ACT2FN

    if getattr(config, "quantization_config", None) is not None:
        raise CheckpointError(
            f"{checkpoint}: its weights are quantized (quantization_config in config.json), so that they cannot be "
            "trained. Take the checkpoint that it was made from."
        )
    for name in _sizes(config.model_type):
        size = getattr(config, name, None)
        if isinstance(size, int) and size < 1:
            raise CheckpointError(
                f"{checkpoint}: {config.attribute_map.get(name, name)} is {size} in config.json, and no "
                f"{config.model_type} can be made so. Put the config.json there that belongs to the weights."
            )
    name = FAMILIES[config.model_type].activation if config.model_type in FAMILIES else "hidden_act"
    activation = getattr(config, name, None)
    if isinstance(activation, str) and activation not in ACT2FN:
        raise CheckpointError(
            f"{checkpoint}: {name} is {activation} in config.json, and transformers has no such activation. "
            "Put the config.json there that belongs to the weights."
        )


def _sizes(family: str) -> Iterator[str]:
    yield from ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    if family in FAMILIES:  # elsewhere 0 may mean that there are none
        yield FAMILIES[family].intermediate
        if FAMILIES[family].has_token_types:
            yield "type_vocab_size"
