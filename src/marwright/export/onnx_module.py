"""Exports the student as ONNX; int8 is ONNX Runtime's own, since no other weights fit its kernels."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from marwright.errors import ExportError
from marwright.export.exporting import Exported, Source
from marwright.files import replacing
from marwright.logits import Module


def export_onnx(source: Source, file: Path) -> Exported:
    """Write an ONNX file for any batch and any length.

    Raises:
        ExportError: onnx or onnxruntime is missing, or the checker of ONNX refuses the file.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"export.runtime: onnxruntime needs the package {error.name}: pip install 'marwright[onnx]'"
        ) from error
    from marwright.export.onnx_files import export_float, quantize_with_fixed_scales

    with tempfile.TemporaryDirectory(prefix="marwright-") as folder:
        full = Path(folder) / "float.onnx"
        export_float(source.checkpoint, full)
        unquantized = load(full)
        with replacing(file) as partial:
            if source.precision == "int8":
                quantize_with_fixed_scales(full, partial, source.calibration)
            else:
                shutil.copyfile(full, partial)
            try:
                onnx.checker.check_model(str(partial), full_check=True)
            except onnx.checker.ValidationError as error:
                raise ExportError(f"{file}: not valid ONNX: {str(error).splitlines()[0]}") from error
    return Exported(unquantized, load(file), None, module="OnnxModel", method="onnx")


def load(file: Path) -> Module:
    """Read an ONNX file into a session on as many threads as torch has now, called with tensors."""
    from onnxruntime import InferenceSession, SessionOptions

    from marwright.export.onnx_files import INPUTS

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])

    def logits(ids: Tensor, mask: Tensor) -> Tensor:
        feeds = dict(zip(INPUTS, (ids.numpy(), mask.numpy()), strict=True))
        return torch.from_numpy(session.run(["logits"], feeds)[0])

    return logits
