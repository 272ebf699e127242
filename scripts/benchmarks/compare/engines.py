"""One checkpoint in several runtimes, each with one compute thread, called the same way."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from transformers import AutoConfig

from marwright.console.progress import say
from marwright.encoder.families import load_module
from marwright.encoder.shape import EncoderShape
from marwright.errors import first_line
from marwright.resources import shipped
from marwright.runtimes import RUNTIMES, inductor, jit
from marwright.runtimes.onnx_files import INPUTS, export_float, fuse, quantize
from marwright.schemes import SCHEMES, STATIC, Texts

Array = npt.NDArray[Any]
Call = Callable[[Array, Array], Array]
CALIBRATION_TEXTS = 300


@dataclass(frozen=True)
class Engine:
    """A runtime with the model in one precision; ``call`` takes ids and mask (int64) and returns logits."""

    name: str
    call: Call
    own: bool = False


def marwright_engines(
    checkpoint: Path, folder: Path, calibration: Sequence[tuple[Array, Array]]
) -> tuple[list[Engine], EncoderShape]:
    """marwright's module as its build makes it, loaded from its file, for each of its own runtimes; and its numbers."""
    scheme, module = SCHEMES[STATIC], load_module(checkpoint, "script")
    weights = scheme.fit(module, Texts([ids[0].tolist() for ids, _ in calibration], 0), int8_embeddings=True).weights
    example = (torch.ones((2, 8), dtype=torch.int64), torch.ones((2, 8), dtype=torch.int64))
    scripted, compiled = folder / "marwright.pt", folder / "marwright.pt2"
    jit.save(jit.to_torchscript(scheme.build(module, weights), example, script=True), scripted)
    captured = scheme.captured(module, weights)
    assert captured is not None
    inductor.compile_package(captured, example, module.shape.positions, compiled)
    sys.path.append(str(shipped("handlers")))
    runtime = importlib.import_module("aotinductor_runtime").AotInductorRuntime(inductor.load(compiled))
    engines = [
        _with_tensors("marwright, int8", jit.load(scripted), own=True),
        _with_tensors("marwright, int8, AOTInductor", runtime.logits, own=True),
    ]
    return engines, module.shape


def _with_tensors(
    name: str, logits: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], *, own: bool = False
) -> Engine:
    def call(ids: Array, mask: Array) -> Array:
        with torch.inference_mode():
            found: Array = logits(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
            return found

    return Engine(name, call, own)


def onnx_engines(checkpoint: Path, folder: Path) -> list[Engine]:
    """ONNX Runtime: float32, int8, and int8 after its transformer optimizer."""
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
        say(f"ONNX Runtime, optimizer and int8: left out: {type(error).__name__}: {first_line(error)[:200]}")
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
    return _with_tensors(name, RUNTIMES["onnxruntime"].load(file))
