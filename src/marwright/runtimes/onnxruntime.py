"""ONNX Runtime: int8 is its own, since no other weights fit its kernels."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from marwright.errors import ExportError
from marwright.files import replacing
from marwright.installed import is_installed
from marwright.runtimes.runtime import Exported, Runtime, Source, TritonBackend, Wishes, first_refused
from marwright.schemes import DYNAMIC, FLOAT, STATIC

if TYPE_CHECKING:
    from torch import Tensor

    from marwright.runtimes.runtime import Module

NEEDED = "export.runtime: onnxruntime needs the package {}: pip install 'marwright[onnx]'"
# Schemes for which ONNX Runtime has float32, or an int8 of its own.
COUNTERPARTS = {FLOAT, DYNAMIC, STATIC}


class OnnxRuntime(Runtime):
    """Runs wherever ONNX Runtime does, Python or not."""

    name = "onnxruntime"
    module_file = "model.onnx"
    handler_module = "onnx_runtime"
    packages = ("onnxruntime",)
    triton = TritonBackend("onnxruntime", ("input_ids", "attention_mask"), "logits", "intra_op_thread_count")

    def missing(self) -> str | None:
        package = next((name for name in ("onnx", "onnxruntime") if not is_installed(name)), None)
        return None if package is None else NEEDED.format(package)

    def refusal(self, wishes: Wishes) -> str | None:
        asked = {
            "student.bilstm": wishes.bilstm,
            "pruning.kind: structured": wishes.structured_pruning,
            "compression.quantization_aware": wishes.quantization_aware,
            "compression.max_drop": wishes.max_drop,
        }
        own = first_refused(asked, "is about marwright's own module, which export.runtime: onnxruntime does not use")
        if own is not None or not wishes.schemes or any(scheme.name in COUNTERPARTS for scheme in wishes.schemes):
            return own
        return f"{wishes.schemes[0].setting} has no counterpart in export.runtime: onnxruntime"

    def export(self, source: Source, file: Path) -> Exported:
        """Write an ONNX file for any batch and any length.

        Raises:
            ExportError: onnx or onnxruntime is missing, ONNX Runtime has no counterpart of the scheme, or the checker
                of ONNX refuses the file.
        """
        if source.scheme.name not in COUNTERPARTS:
            raise ExportError(f"export.runtime: onnxruntime computes nothing like {source.scheme.name}")
        try:
            import onnx
            import onnxruntime  # noqa: F401
        except ImportError as error:
            raise ExportError(NEEDED.format(error.name)) from error
        from marwright.runtimes.onnx_files import export_float, quantize_with_fixed_scales

        with tempfile.TemporaryDirectory(prefix="marwright-") as folder:
            full = Path(folder) / "float.onnx"
            export_float(source.checkpoint, full)
            unquantized = self.load(full)
            with replacing(file) as partial:
                if source.weights.linears:
                    quantize_with_fixed_scales(full, partial, source.calibration)
                else:
                    shutil.copyfile(full, partial)
                try:
                    onnx.checker.check_model(str(partial), full_check=True)
                except onnx.checker.ValidationError as error:
                    raise ExportError(f"{file}: not valid ONNX: {str(error).splitlines()[0]}") from error
        return Exported(unquantized, self.load(file), None, "OnnxModel", "onnx", "for ONNX Runtime")

    def load(self, file: Path) -> Module:
        import torch
        from onnxruntime import InferenceSession, SessionOptions

        from marwright.runtimes.onnx_files import INPUTS

        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])

        def logits(ids: Tensor, mask: Tensor) -> Tensor:
            feeds = dict(zip(INPUTS, (ids.numpy(), mask.numpy()), strict=True))
            return torch.from_numpy(session.run(["logits"], feeds)[0])

        return logits
