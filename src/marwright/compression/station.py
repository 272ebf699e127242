"""Writes the student's weights once for CPUs and, if asked for, once for GPUs."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marwright.compression.choosing import Measured, choose, measure
from marwright.compression.precision import mixed_precision
from marwright.config import CompressionConfig, ExportConfig
from marwright.errors import CompressionError
from marwright.files import stable_json, write_text
from marwright.modules.calibration import static_hindrance, static_tensors
from marwright.modules.packed_bert import PackedBert
from marwright.modules.pretrained import load_module
from marwright.modules.quantized import HALF_PRECISIONS, quantize_embeddings, quantize_linears, tensors_of
from marwright.modules.static_bert import assemble
from marwright.progress import say
from marwright.threads import one_thread
from marwright.tokenization import pad_id, token_ids
from marwright.workspace import CompressedFolder, DataFolder, ModelFolder

# The last layer is a thousandth of the work and decides the answer: it keeps its precision.
KEPT_IN_FLOAT = frozenset({"classifier", "model.classifier", "model.classifier.out_proj"})


# The number of threads decides in which order floats are added, and with it the last digits of what is found.
@one_thread()
def compress(
    config: CompressionConfig, export: ExportConfig, data: DataFolder, student: ModelFolder, *, output: Path
) -> None:
    """Write a :class:`CompressedFolder`.

    Args:
        config: the precision for each device.
        export: says which module the weights are for.
        data: its train rows show what values activations take, its validation rows what compression changes.
        student: the checkpoint.
        output: an empty folder.

    Raises:
        CompressionError: static scales are asked for where they cannot be had, or change more labels than allowed.
    """
    from safetensors.torch import save_file

    folder = CompressedFolder(output)
    module = load_module(student.checkpoint, export.method)
    plan: dict[str, Any] = {"fp32_bytes": _bytes(module), "module": type(module).__name__}

    tensors, plan["cpu"] = _for_cpus(config, module, data, student)
    save_file(tensors, folder.cpu)
    plan["cpu"]["bytes"] = folder.cpu.stat().st_size

    if config.gpu != "none":
        dtype = HALF_PRECISIONS[config.gpu]
        rows = quantize_embeddings(module, dtype) if config.embeddings == "int8" else []
        # The scales of int8 embeddings stay in float32: the smallest would vanish in float16.
        halved = {
            name: tensor.to(dtype) if tensor.dtype == torch.float32 and not name.endswith(".scales") else tensor
            for name, tensor in tensors_of(module).items()
        }
        save_file(halved, folder.gpu)
        plan["gpu"] = {"precision": config.gpu, "int8_embeddings": rows, "bytes": folder.gpu.stat().st_size}

    write_text(folder.plan, stable_json(plan))
    say(
        f"  {plan['module']}: {_mb(plan['fp32_bytes'])} in fp32, {_mb(plan['cpu']['bytes'])} for CPUs ({config.cpu})"
        + (f", {_mb(plan['gpu']['bytes'])} for GPUs ({config.gpu})" if "gpu" in plan else "")
    )


def _for_cpus(
    config: CompressionConfig, module: nn.Module, data: DataFolder, student: ModelFolder
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The CPU module's tensors, and the plan that says how they came to be."""
    cpu = copy.deepcopy(module)
    int8 = quantize_linears(cpu, KEPT_IN_FLOAT) if config.cpu == "int8" else []
    embeddings = quantize_embeddings(cpu, torch.float32) if config.embeddings == "int8" else []
    tensors = tensors_of(cpu)
    plan: dict[str, Any] = {"precision": config.cpu, "int8_linears": int8, "int8_embeddings": embeddings}
    if config.cpu != "int8":
        return tensors, plan
    hindrance = static_hindrance(module)
    if config.activations == "static" and hindrance:
        raise CompressionError(f"compression.activations: static is not possible: {hindrance}. Write auto.")
    static = config.activations != "dynamic" and hindrance is None
    if not static:
        plan |= {"activations": "dynamic"} | ({"why": hindrance} if hindrance and config.activations == "auto" else {})
        if config.max_drop is None:
            return tensors, plan

    train, validation, filler = _rows(data, student)
    candidates: dict[str, nn.Module] = {"dynamic": cpu}
    if static:
        assert isinstance(module, PackedBert)
        fixed, cut = static_tensors(module, train, filler, precise_embeddings=config.embeddings == "fp32")
        plan["gelu_range_kept"] = cut
        candidates = {"static": assemble(module.shape, fixed), "dynamic": cpu}
    found = measure(candidates, module, validation, filler)
    plan["candidates"] = {name: asdict(each) for name, each in found.items()}
    allowed: dict[str, Measured] = (
        found if config.activations == "auto" else {name: found[name] for name in found if name == config.activations}
    )
    chosen = choose(allowed, 1.0 if config.max_drop is None else config.max_drop)
    say(
        "  int8 scales of activations: "
        + ", ".join(
            f"{name} {each.ms:.1f} ms for 16 texts and {each.same_label:.2%} same labels"
            for name, each in found.items()
        )
        + f" on validation rows: {chosen or 'each changes more labels than compression.max_drop'}"
    )
    if chosen is not None:
        return (fixed if chosen == "static" else tensors), plan | {"activations": chosen}
    assert config.max_drop is not None
    if config.activations == "static":
        raise CompressionError(
            f"compression.max_drop: static int8 changes {1 - found['static'].same_label:.2%} of the labels, more than "
            f"{config.max_drop:.2%}. Its layers pass bytes to each other, so that none of them can stay in fp32: "
            "write `activations: auto`."
        )
    return _mixed(config, module, validation, filler, config.max_drop, plan)


def _mixed(
    config: CompressionConfig,
    module: nn.Module,
    validation: list[list[int]],
    filler: int,
    max_drop: float,
    plan: dict[str, Any],
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Keep the layers that int8 harms in float32."""
    mixed = mixed_precision(
        module, KEPT_IN_FLOAT, validation, filler, max_drop=max_drop, embeddings=config.embeddings == "int8"
    )
    say(
        f"  precision per layer: {len(mixed.kept)} of {len(mixed.costs)} layers stay in fp32 "
        f"({', '.join(mixed.kept)}): {mixed.same_label:.2%} same labels"
    )
    for part in ("int8_linears", "int8_embeddings"):
        plan[part] = [name for name in plan[part] if name not in mixed.kept]
    plan |= {
        "activations": "dynamic",
        "kept_in_fp32": list(mixed.kept),
        "max_drop": max_drop,
        "same_label": mixed.same_label,
        "costs": {name: float(f"{cost:.3g}") for name, cost in mixed.costs.items()},
    }
    return tensors_of(mixed.module), plan


def _rows(data: DataFolder, student: ModelFolder) -> tuple[list[list[int]], list[list[int]], int]:
    """Token ids of train and validation texts, and the padding id."""
    from datasets import load_from_disk
    from tokenizers import Tokenizer

    splits = load_from_disk(str(data.splits))
    tokenizer = Tokenizer.from_file(str(student.tokenizer))
    train, validation = (token_ids(tokenizer, list(splits[split]["text"])) for split in ("train", "validation"))
    return train, validation, pad_id(tokenizer)


def _bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
