"""Exports the half-precision module for GPUs, always as TorchScript."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.export.parity import Difference, check, compare
from marwright.files import read_json
from marwright.runtimes import jit
from marwright.runtimes.torchscript import is_scripted
from marwright.schemes.stored import read_weights
from marwright.workspace import CompressedFolder, ModelFolder


def export_gpu(
    student: ModelFolder,
    compressed: CompressedFolder,
    file: Path,
    *,
    method: Literal["script", "trace"],
    tolerance: float,
    table: Sequence[Sequence[Sequence[int]]],
    filler: int,
    example: tuple[Tensor, Tensor],
) -> tuple[dict[str, Any], list[Difference]]:
    """Write the module, and compare it with the eager one on the CPU, which computes float16 slowly but rightly.

    Encoders of the BERT family have static shapes, everything else is as it is. The table has batches of token ids, as
    :func:`~marwright.export.parity.shape_table` makes them; the example is ids and mask, (batch, length) each.

    Returns:
        What the export's card says of it, and the differences.

    Raises:
        ExportError: the file answers differently.
    """
    scheme, weights = read_weights(compressed.gpu, read_json(compressed.plan)["gpu"])
    module = scheme.build(load_module(student.checkpoint, method), weights)
    script = is_scripted(module)
    compiled = jit.to_torchscript(module, example, script=script)
    if not script:
        jit.on_the_inputs_device(compiled)
    jit.save(compiled, file)
    differences = compare(jit.load(file), module, table, filler)
    check(differences, tolerance, f"{scheme.name}, exported against eager")
    card = {
        "module": type(module).__name__,
        "precision": scheme.name,
        # Only static shapes can be recorded as a CUDA graph, and of no more tokens than the module has positions.
        "recordable_tokens": module.shape.positions - module.shape.first_position if isinstance(module, Encoder) else 0,
        "bytes": file.stat().st_size,
    }
    return card, differences
