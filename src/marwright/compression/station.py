"""Writes the student's weights once for CPUs and, if asked for, once for GPUs. The plan names the scheme of each."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from marwright.compression.choosing import Measured, choose, measure
from marwright.compression.precision import mixed_precision
from marwright.config import CompressionConfig, ExportConfig
from marwright.console.progress import say
from marwright.encoder.families import load_module
from marwright.errors import CompressionError
from marwright.files import stable_json, write_text
from marwright.pretrained.tokenization import pad_id, token_ids
from marwright.processes.threads import one_thread
from marwright.schemes import DYNAMIC, SCHEMES, Fitted, Texts
from marwright.schemes.stored import write_weights
from marwright.workspace import CompressedFolder, DataFolder, ModelFolder


# The number of threads decides in which order floats are added, and with it the last digits of what is found.
@one_thread()
def compress(
    config: CompressionConfig, export: ExportConfig, data: DataFolder, student: ModelFolder, *, output: Path
) -> None:
    """Write a :class:`CompressedFolder` into an empty folder.

    Train rows show what values activations take, validation rows what compression changes; ``export`` says which module
    the weights are for.

    Raises:
        CompressionError: static scales are asked for where they cannot be had, or change more labels than allowed.
    """
    folder = CompressedFolder(output)
    module = load_module(student.checkpoint, export.method)
    plan: dict[str, Any] = {"fp32_bytes": _bytes(module), "module": type(module).__name__}
    scheme, found = _for_cpus(config, module, data, student)
    plan["cpu"] = write_weights(folder.cpu, scheme, found)
    if config.gpu != "none":
        fitted = SCHEMES[config.gpu].fit(module, Texts((), 0), int8_embeddings=config.embeddings == "int8")
        plan["gpu"] = write_weights(folder.gpu, config.gpu, fitted)
    write_text(folder.plan, stable_json(plan))
    say(
        f"  {plan['module']}: {_mb(plan['fp32_bytes'])} in fp32, {_mb(plan['cpu']['bytes'])} for CPUs ({scheme})"
        + (f", {_mb(plan['gpu']['bytes'])} for GPUs ({config.gpu})" if "gpu" in plan else "")
    )


def _for_cpus(
    config: CompressionConfig, module: nn.Module, data: DataFolder, student: ModelFolder
) -> tuple[str, Fitted]:
    """The CPU module's weights in the scheme that is asked for, or in the better one where that is left open."""
    int8_embeddings = config.embeddings == "int8"
    names = config.schemes
    hindrances = {name: SCHEMES[name].hindrance(module) for name in names}
    possible = [name for name in names if hindrances[name] is None]
    hindrance = next((why for why in hindrances.values() if why), None)
    if not possible:
        cure = "Write auto." if SCHEMES[names[0]].activations else "Write `cpu: int8`."
        raise CompressionError(f"{SCHEMES[names[0]].setting} is not possible: {hindrance}. {cure}")
    notes: dict[str, Any] = {"why": hindrance} if hindrance else {}
    if len(possible) == 1 and config.max_drop is None and not SCHEMES[possible[0]].calibrated:
        fitted = SCHEMES[possible[0]].fit(module, Texts((), 0), int8_embeddings=int8_embeddings)
        return possible[0], Fitted(fitted.weights, notes | dict(fitted.notes))

    train, validation = _texts(data, student)
    # Measured too where it is not asked for: the plan says what it would have been.
    tried = list(dict.fromkeys([*possible, DYNAMIC]))
    fits = {name: SCHEMES[name].fit(module, train, int8_embeddings=int8_embeddings) for name in tried}
    candidates = {name: SCHEMES[name].build(copy.deepcopy(module), fits[name].weights) for name in tried}
    found = measure(candidates, module, validation, data.task)
    for fitted in fits.values():
        notes |= dict(fitted.notes)
    notes["candidates"] = {name: asdict(each) for name, each in found.items()}
    chosen = choose({name: found[name] for name in possible}, 1.0 if config.max_drop is None else config.max_drop)
    _tell(found, chosen)
    if chosen is not None:
        return chosen, Fitted(fits[chosen].weights, notes)
    assert config.max_drop is not None
    first = SCHEMES[possible[0]]
    if not any(SCHEMES[name].by_layer for name in possible):
        raise CompressionError(
            f"compression.max_drop: {' '.join(filter(None, (first.activations, first.precision)))} changes "
            f"{1 - found[possible[0]].same_label:.2%} of the labels, more than "
            f"{config.max_drop:.2%}. None of its layers can stay in fp32: "
            "write `activations: auto`."
        )
    mixed = mixed_precision(module, validation, data.task, max_drop=config.max_drop, int8_embeddings=int8_embeddings)
    return DYNAMIC, Fitted(mixed.weights, notes | dict(mixed.notes))


def _texts(data: DataFolder, student: ModelFolder) -> tuple[Texts, Texts]:
    """Token ids of train and validation texts."""
    from datasets import load_from_disk
    from tokenizers import Tokenizer

    splits = load_from_disk(str(data.splits))
    tokenizer = Tokenizer.from_file(str(student.tokenizer))
    train, validation = (token_ids(tokenizer, list(splits[split]["text"])) for split in ("train", "validation"))
    return Texts(train, pad_id(tokenizer)), Texts(validation, pad_id(tokenizer))


def _tell(found: dict[str, Measured], chosen: str | None) -> None:
    say(
        "  int8 scales of activations: "
        + ", ".join(
            f"{name} {each.ms:.1f} ms for 16 texts and {each.same_label:.2%} same labels"
            for name, each in found.items()
        )
        + f" on validation rows: {chosen or 'each changes more labels than compression.max_drop'}"
    )


def _bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
