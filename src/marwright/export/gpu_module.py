"""Exports the half-precision module for GPUs, always as TorchScript."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from marwright.export import torchscript
from marwright.export.parity import Difference, check, compare
from marwright.export.torchscript_module import is_scripted
from marwright.modules.packed_bert import PackedBert
from marwright.modules.padded_bert import PaddedBert
from marwright.modules.pretrained import load_module
from marwright.modules.quantized import HALF_PRECISIONS, load_tensors
from marwright.workspace import CompressedFolder, ModelFolder


def export_gpu(
    student: ModelFolder,
    compressed: CompressedFolder,
    file: Path,
    *,
    method: Literal["script", "trace"],
    precision: str,
    tolerance: float,
    table: Sequence[Sequence[Sequence[int]]],
    filler: int,
    example: tuple[Tensor, Tensor],
) -> tuple[dict[str, Any], list[Difference]]:
    """Write the module, and compare it with the eager one on the CPU, which computes float16 slowly but rightly.

    Args:
        student: the checkpoint.
        compressed: its weights for GPUs.
        file: where the module goes.
        method: script or trace.
        precision: one of :data:`~marwright.modules.quantized.HALF_PRECISIONS`.
        tolerance: largest difference of a logit.
        table: batches of token ids, as :func:`~marwright.export.parity.shape_table` makes them.
        filler: the padding id.
        example: ids and attention mask, (batch, length) each; tracing runs them.

    Returns:
        What the export's card says of it, and the differences.

    Raises:
        ExportError: the file answers differently.
    """
    module = gpu_module(student, compressed, method=method, precision=precision)
    script = is_scripted(module)
    compiled = torchscript.to_torchscript(module, example, script=script)
    if not script:
        torchscript.on_the_inputs_device(compiled)
    torchscript.save(compiled, file)
    differences = compare(torchscript.load(file), module, table, filler)
    check(differences, tolerance, f"{precision}, exported against eager")
    card = {
        "module": type(module).__name__,
        "precision": precision,
        # Only static shapes can be recorded as a CUDA graph, and of no more tokens than the module has positions.
        "recordable_tokens": module.positions if isinstance(module, PaddedBert) else 0,
        "bytes": file.stat().st_size,
    }
    return card, differences


def gpu_module(
    student: ModelFolder, compressed: CompressedFolder, *, method: Literal["script", "trace"], precision: str
) -> nn.Module:
    """The eager module for GPUs: encoders of the BERT family with static shapes, everything else as it is."""
    from safetensors.torch import load_file

    module = load_module(student.checkpoint, method)
    module = load_tensors(module, load_file(compressed.gpu), HALF_PRECISIONS[precision])
    return PaddedBert(module).eval() if isinstance(module, PackedBert) else module
