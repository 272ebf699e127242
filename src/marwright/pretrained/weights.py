"""Whether weights are those of the model that ``config.json`` describes; transformers alone makes do with others."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from marwright.console.progress import say
from marwright.errors import CheckpointError

# Not weights, or of parts that read no text on its way to an answer.
_HARMLESS = re.compile(r"pooler|position_ids|inv_freq|rotary|masked_bias|crossattention|\._weight$")
_IN_A_LAYER = re.compile(r"\.\d+\.")
_NOT_QUANTIZED = {"F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16"}


def check_weights(checkpoint: str, where: str, model: Any, found: Any) -> None:
    """Refuse weights that transformers would replace by random ones, leave out, or read as others without a word.

    The model has the weights, those of its head may be new; ``found`` is what transformers says of the loading.

    Raises:
        CheckpointError: tensors are missing, too many, of another shape, quantized, or no numbers.
    """
    inside = f"{model.base_model_prefix}."
    missing = [name for name in found["missing_keys"] if name.startswith(inside) and "pooler" not in name]
    if missing:
        raise CheckpointError(f"{checkpoint}: {_why_missing(missing, found['unexpected_keys'], inside, model.config)}")
    for name, there, wanted in sorted(found["mismatched_keys"], key=lambda each: str(each[0])):
        if name.startswith(inside) and "pooler" not in name:
            raise CheckpointError(
                f"{checkpoint}: {name} is {_by(there)} in the weights, and {_by(wanted)} by config.json: "
                "they do not belong together"
            )
    _check_places(checkpoint, model, found["unexpected_keys"])
    for name, numbers in _stored(_folder_of(where)):
        if name.endswith((".weight", ".bias")) and numbers not in _NOT_QUANTIZED:
            raise CheckpointError(
                f"{checkpoint}: {name} is stored as {numbers}: its weights are quantized, so that they cannot be "
                "trained. Take the checkpoint that it was made from."
            )
    for name, parameter in model.named_parameters():
        weights = parameter.detach()
        # The sum is ten times as fast, and no number as soon as one of them is none.
        if not weights.sum().isfinite() and not weights.isfinite().all():
            raise CheckpointError(
                f"{checkpoint}: {name} has values that are no numbers (NaN or infinite): the file is damaged, or its "
                "training went astray. Take another checkpoint, or train that one again at a lower learning rate."
            )


def _why_missing(missing: Sequence[str], there: Collection[str], inside: str, config: Any) -> str:
    prefix = _foreign_prefix([name.removeprefix(inside) for name in sorted(missing)], there)
    if prefix is not None and not _is_family(prefix.rstrip(".").rpartition(".")[2], inside):
        return (
            f"the names of its weights begin with {prefix!r} where transformers wants {inside!r}: a program saved them "
            "with what it had put around the model. Save the model inside with save_pretrained(), or rename them"
        )
    if there and not any("." in name for name in there):
        return (
            f"its weights lie inside of something else ({', '.join(sorted(there))}), as training programs save them. "
            "Load that file in Python, and save the model inside with save_pretrained()"
        )
    return (
        f"its weights lack {len(missing)} tensors of a {config.model_type} of {config.num_hidden_layers} layers, "
        f"{min(missing)} first: they belong to another config.json"
    )


def _foreign_prefix(missing: Sequence[str], there: Collection[str]) -> str | None:
    """What stands before most of the missing names in those that are there, if something does."""
    for name in sorted(there):
        prefix = name.removesuffix(missing[0])
        if prefix != name and sum(prefix + each in there for each in missing) * 2 > len(missing):
            return prefix
    return None


def _is_family(word: str, inside: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return word != inside.rstrip(".") and word in {name.replace("-", "_") for name in CONFIG_MAPPING_NAMES}


def _check_places(checkpoint: str, model: Any, unexpected: Collection[str]) -> None:
    """Refuse tensors of layers for which the model has no place, and tell of others of the encoder."""
    # A checkpoint of the encoder alone has its names without the prefix.
    parts = {model.base_model_prefix, *(name for name, _ in model.base_model.named_children())}
    left = sorted(name for name in unexpected if name.partition(".")[0] in parts and not _HARMLESS.search(name))
    in_layers = [name for name in left if _IN_A_LAYER.search(name)]
    what = f"a {model.config.model_type} of {model.config.num_hidden_layers} layers has no place"
    if in_layers:
        raise CheckpointError(
            f"{checkpoint}: for {len(in_layers)} tensors of its weights {what}, {in_layers[0]} first: it would answer "
            "without them. Put the config.json there that belongs to the weights, or take another checkpoint."
        )
    if left:
        say(f"  {checkpoint}: for {len(left)} tensors of its weights {what}, {left[0]} first; they are left out")


def _folder_of(where: str) -> Path:
    """A folder as it is, and where the hub's client keeps what it has fetched of a hub id."""
    from huggingface_hub import try_to_load_from_cache

    folder = Path(where)
    found = None if folder.is_dir() else try_to_load_from_cache(where, "config.json")
    return Path(found).parent if isinstance(found, str) else folder


def _stored(folder: Path) -> Iterator[tuple[str, str]]:
    """Names of tensors in a folder's files, and the kind of numbers that each has there."""
    from safetensors import safe_open

    index = folder / "model.safetensors.index.json"
    shards: list[str] = []
    if (folder / "model.safetensors").is_file():
        shards = ["model.safetensors"]
    elif index.is_file():
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    for shard in shards:
        with safe_open(folder / shard, framework="pt") as opened:
            yield from ((name, opened.get_slice(name).get_dtype()) for name in opened.keys())  # noqa: SIM118
    pickled = folder / "pytorch_model.bin"
    if not shards and pickled.is_file():
        for name, tensor in torch.load(pickled, map_location="meta", weights_only=True).items():
            if isinstance(tensor, torch.Tensor):
                yield name, str(tensor.dtype).removeprefix("torch.")


def _by(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
