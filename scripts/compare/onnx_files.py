"""One checkpoint as ONNX files: in float32, and in int8 as ONNX Runtime's documentation advises for transformers."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INPUTS = ("input_ids", "attention_mask")


def export_float(checkpoint: Path, file: Path) -> None:
    """Write a checkpoint in float32; any batch, any length.

    Plain attention and the older exporter give the graph in which ONNX Runtime and OpenVINO find most to fuse.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    from marwright.checkpoints import quiet_transformers

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
    """Quantize dynamically: int8 weights with one scale per channel, activations as they come."""
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


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what exporters print from the user, who can do nothing about it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
