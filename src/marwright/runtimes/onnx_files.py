"""One checkpoint as ONNX files: in float32, and in int8 by ONNX Runtime's own tools."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

INPUTS = ("input_ids", "attention_mask")


def export_float(checkpoint: Path, file: Path) -> None:
    """Write a checkpoint in float32; any batch, any length.

    Plain attention and the older exporter give the graph in which ONNX Runtime and OpenVINO find most to fuse.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    from marwright.pretrained.checkpoints import quiet_transformers

    quiet_transformers()
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="eager").eval()

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
            return self.model(input_ids=ids, attention_mask=mask).logits

    ids = torch.randint(1, model.config.vocab_size, (2, 12))
    with _silence():
        torch.onnx.export(
            Logits(),
            (ids, torch.ones_like(ids)),
            str(file),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in INPUTS} | {"logits": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )


def fuse(source: Path, file: Path, *, heads: int, hidden: int) -> None:
    """Run ONNX Runtime's transformer optimizer: attention, norms, embeddings and GELU become one operator each."""
    from onnxruntime.transformers import optimizer

    with _silence():
        fused = optimizer.optimize_model(
            str(source), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=0
        )
        fused.save_model_to_file(str(file))


def quantize(source: Path, file: Path) -> None:
    """Quantize dynamically: int8 weights with one scale per channel, activations with one scale per batch."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _silence():
        quantize_dynamic(
            source,
            file,
            per_channel=True,
            weight_type=QuantType.QInt8,
            # The fused operators are unknown to shape inference, which is asked for their type.
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )


def quantize_with_fixed_scales(source: Path, file: Path, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Quantize statically, so that an answer does not depend on its batch neighbours.

    Linear layers get int8 weights with one scale per channel and uint8 activations with one scale, from the values that
    they take on the given batches, the largest of ten thousand cut off; these are ids and attention masks of real
    texts, all of one shape. Embeddings become int8.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._left, None)
            return None if batch is None else dict(zip(INPUTS, (tensor.numpy() for tensor in batch), strict=True))

    with _silence(), TemporaryDirectory(prefix="marwright-") as folder:
        linear = Path(folder) / "linear.onnx"
        quantize_static(
            source,
            linear,
            Batches(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"MatMulConstBOnly": True, "CalibPercentile": 99.99},
        )
        quantize_dynamic(linear, file, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what exporters print from the user, who can do nothing about it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
