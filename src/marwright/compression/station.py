"""Writes the student's weights once for CPUs and, if asked for, once for GPUs."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marwright.compression.calibration import static_tensors
from marwright.compression.choosing import choose, measure
from marwright.config import CompressionConfig, ExportConfig
from marwright.errors import CompressionError
from marwright.files import stable_json, write_text
from marwright.modules.packed_bert import PackedBert
from marwright.modules.pretrained import load_module
from marwright.modules.quantized import quantize_embeddings, quantize_linears, tensors_of
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
        CompressionError: static scales are asked for where they cannot be had.
    """
    from safetensors.torch import save_file

    folder = CompressedFolder(output)
    module = load_module(student.checkpoint, export.method)
    plan: dict[str, Any] = {"fp32_bytes": _bytes(module), "module": type(module).__name__}

    tensors, plan["cpu"] = _for_cpus(config, module, data, student)
    save_file(tensors, folder.cpu)
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


def _for_cpus(
    config: CompressionConfig, module: nn.Module, data: DataFolder, student: ModelFolder
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The CPU module's tensors, and the plan that says how they came to be."""
    cpu = copy.deepcopy(module)
    int8 = quantize_linears(cpu, KEPT_IN_FLOAT) if config.cpu == "int8" else []
    rows = quantize_embeddings(cpu, torch.float32) if config.embeddings == "int8" else []
    tensors = tensors_of(cpu)
    plan: dict[str, Any] = {"precision": config.cpu, "int8_linears": int8, "int8_embeddings": rows}
    if config.cpu != "int8" or config.activations == "dynamic":
        return tensors, plan | ({"activations": "dynamic"} if config.cpu == "int8" else {})
    hindrance = _hindrance(module)
    if hindrance:
        if config.activations == "static":
            raise CompressionError(f"compression.activations: static is not possible: {hindrance}. Write auto.")
        return tensors, plan | {"activations": "dynamic", "why": hindrance}
    assert isinstance(module, PackedBert)
    from datasets import load_from_disk
    from tokenizers import Tokenizer

    texts = {split: list(load_from_disk(str(data.splits))[split]["text"]) for split in ("train", "validation")}
    tokenizer = Tokenizer.from_file(str(student.tokenizer))
    filler = pad_id(tokenizer)
    train, validation = (token_ids(tokenizer, texts[split]) for split in ("train", "validation"))
    static, cut = static_tensors(module, train, filler, precise_embeddings=config.embeddings == "fp32")
    plan["gelu_range_kept"] = cut
    candidates = {"static": assemble(module.shape, static), "dynamic": cpu}
    found = measure(candidates, module, validation, filler)
    chosen = choose(found) if config.activations == "auto" else config.activations
    plan |= {"activations": chosen, "candidates": {name: asdict(each) for name, each in found.items()}}
    say(
        "  int8 scales of activations: "
        + ", ".join(
            f"{name} {each.ms:.1f} ms for 16 texts and {each.same_label:.2%} same labels"
            for name, each in found.items()
        )
        + f" on validation rows: {chosen}"
    )
    return (static if chosen == "static" else tensors), plan


def _hindrance(module: nn.Module) -> str | None:
    """Why static scales are not possible here, if they are not."""
    if not isinstance(module, PackedBert):
        return f"{type(module).__name__} has no static int8 form, only BERT, RoBERTa and DistilBERT encoders do"
    if not torch.cpu._is_vnni_supported():
        # Without VNNI the kernels add pairs of products in 16 bits, which overflow.
        return "this processor has no AVX-512 VNNI instructions"
    return None


def _bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
