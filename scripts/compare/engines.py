"""One checkpoint in several runtimes, each with one compute thread, called the same way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from marwright.export.onnx_files import INPUTS, export_float, fuse, quantize
from marwright.modules.packed_bert import EncoderShape
from marwright.progress import say

Array = npt.NDArray[Any]
Call = Callable[[Array, Array], Array]
CALIBRATION_TEXTS = 300


@dataclass(frozen=True)
class Engine:
    """A runtime with the model in one precision; ``call`` takes ids and mask (int64) and returns logits."""

    name: str
    call: Call
    own: bool = False


def marwright_engine(
    checkpoint: Path, folder: Path, calibration: Sequence[tuple[Array, Array]]
) -> tuple[Engine, EncoderShape]:
    """marwright's TorchScript module as its build makes it, loaded from its file; and its encoder's numbers."""
    import torch

    from marwright.export.torchscript import load, save, to_torchscript
    from marwright.modules.calibration import static_tensors
    from marwright.modules.packed_bert import PackedBert
    from marwright.modules.pretrained import load_module
    from marwright.modules.static_bert import assemble

    module = load_module(checkpoint, "script")
    assert isinstance(module, PackedBert)
    rows = [ids[0].tolist() for ids, _ in calibration]
    tensors, _ = static_tensors(module, rows, filler=0, precise_embeddings=False)
    example = (torch.ones((2, 8), dtype=torch.int64), torch.ones((2, 8), dtype=torch.int64))
    file = folder / "marwright.pt"
    save(to_torchscript(assemble(module.shape, tensors), example, script=True), file)
    compiled = load(file)

    def call(ids: Array, mask: Array) -> Array:
        with torch.inference_mode():
            found: Array = compiled(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
            return found

    return Engine("marwright, int8", call, own=True), module.shape


def onnx_engines(checkpoint: Path, folder: Path) -> list[Engine]:
    """ONNX Runtime: float32, int8, and int8 after its transformer optimizer."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(checkpoint)
    full, fused = folder / "float.onnx", folder / "fused.onnx"
    export_float(checkpoint, full)
    found = [_onnx("ONNX Runtime, fp32", full)]
    quantize(full, folder / "int8.onnx")
    found.append(_onnx("ONNX Runtime, int8", folder / "int8.onnx"))
    try:
        fuse(full, fused, heads=config.num_attention_heads, hidden=config.hidden_size)
        quantize(fused, folder / "fused-int8.onnx")
        found.append(_onnx("ONNX Runtime, optimizer and int8", folder / "fused-int8.onnx"))
    except Exception as error:
        say(f"ONNX Runtime, optimizer and int8: left out: {_sentence(error)}")
    return found


def openvino_engines(full: Path, calibration: Sequence[tuple[Array, Array]]) -> list[Engine]:
    """OpenVINO on an ONNX file: float32, bf16, and int8 by NNCF with either of them for what stays in float."""
    import nncf
    import openvino

    core = openvino.Core()

    def compiled(name: str, model: Any, precision: str) -> Engine:
        settings = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
        }
        ready = core.compile_model(model, "CPU", settings)

        def call(ids: Array, mask: Array) -> Array:
            found: Array = ready(dict(zip(INPUTS, (ids, mask), strict=True)))[0]
            return found

        return Engine(name, call)

    plain = core.read_model(full)
    found = [compiled("OpenVINO, fp32", plain, "f32"), compiled("OpenVINO, bf16", plain, "bf16")]
    nncf.set_log_level(logging.ERROR)
    feeds = [dict(zip(INPUTS, batch, strict=True)) for batch in calibration]
    int8 = nncf.quantize(
        core.read_model(full), nncf.Dataset(feeds), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(feeds)
    )
    return [*found, compiled("OpenVINO, int8", int8, "f32"), compiled("OpenVINO, int8 and bf16", int8, "bf16")]


def _onnx(name: str, file: Path) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def call(ids: Array, mask: Array) -> Array:
        found: Array = session.run(None, dict(zip(INPUTS, (ids, mask), strict=True)))[0]
        return found

    return Engine(name, call)


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
