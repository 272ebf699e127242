"""Writes the student's weights once for CPUs and, if asked for, once for GPUs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from marwright.config import CompressionConfig, ExportConfig
from marwright.files import stable_json, write_text
from marwright.modules.pretrained import load_module
from marwright.modules.quantized import quantize_embeddings, quantize_linears, tensors_of
from marwright.progress import say
from marwright.workspace import CompressedFolder, ModelFolder

# The last layer is a thousandth of the work and decides the answer: it keeps its precision.
KEPT_IN_FLOAT = frozenset({"classifier", "model.classifier", "model.classifier.out_proj"})


def compress(config: CompressionConfig, export: ExportConfig, student: ModelFolder, *, output: Path) -> None:
    """Write a :class:`CompressedFolder`.

    Args:
        config: the precision for each device.
        export: says which module the weights are for.
        student: the checkpoint.
        output: an empty folder.
    """
    from safetensors.torch import save_file

    folder = CompressedFolder(output)
    module = load_module(student.checkpoint, export.method)
    plan: dict[str, Any] = {"fp32_bytes": _bytes(module), "module": type(module).__name__}

    cpu = copy.deepcopy(module)
    int8 = quantize_linears(cpu, KEPT_IN_FLOAT) if config.cpu == "int8" else []
    rows = quantize_embeddings(cpu, torch.float32) if config.embeddings == "int8" else []
    tensors = tensors_of(cpu)
    save_file(tensors, folder.cpu)
    plan["cpu"] = {"precision": config.cpu, "int8_linears": int8, "int8_embeddings": rows}
    plan["cpu"]["bytes"] = folder.cpu.stat().st_size

    if config.gpu == "fp16":
        rows = quantize_embeddings(module, torch.float16) if config.embeddings == "int8" else []
        # The scales of int8 embeddings stay in float32: the smallest would vanish in float16.
        halved = {
            name: tensor.half() if tensor.dtype == torch.float32 and not name.endswith(".scales") else tensor
            for name, tensor in tensors_of(module).items()
        }
        save_file(halved, folder.gpu)
        plan["gpu"] = {"precision": config.gpu, "int8_embeddings": rows, "bytes": folder.gpu.stat().st_size}

    write_text(folder.plan, stable_json(plan))
    say(
        f"  {plan['module']}: {_mb(plan['fp32_bytes'])} in fp32, {_mb(plan['cpu']['bytes'])} for CPUs ({config.cpu})"
        + (f", {_mb(plan['gpu']['bytes'])} for GPUs (fp16)" if "gpu" in plan else "")
    )


def _bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
