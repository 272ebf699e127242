"""The module for GPUs as the build makes it: its precision, and whether it can be recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

import tiny_run
from encoder_cases import batch_of
from marwright.compression.station import compress
from marwright.config import CompressionConfig, ExportConfig
from marwright.encoder.families import load_module
from marwright.export.gpu_module import export_gpu
from marwright.runtimes import jit
from marwright.workspace import CompressedFolder, Run
from tiny_models import POSITIONS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.manual_seed(0)
    return tiny_run.trained(tmp_path_factory.mktemp("run"))


def compressed(
    run: Run, folder: Path, gpu: Literal["fp16", "bf16"], method: Literal["script", "trace"]
) -> CompressedFolder:
    folder.mkdir()
    settings = CompressionConfig(gpu=gpu, activations="dynamic")
    compress(settings, ExportConfig(method=method), run.data, run.student, output=folder)
    return CompressedFolder(folder)


@pytest.mark.parametrize(
    ("precision", "dtype", "near"), [("fp16", torch.float16, 0.01), ("bf16", torch.bfloat16, 0.05)]
)
@torch.inference_mode()
def test_it_is_in_the_precision_that_was_asked_for_and_can_be_recorded(
    run: Run, tmp_path: Path, precision: Literal["fp16", "bf16"], dtype: torch.dtype, near: float
) -> None:
    weights = compressed(run, tmp_path / "compressed", precision, "script")
    card, differences = export_gpu(
        run.student,
        weights,
        tmp_path / "model_gpu.pt",
        method="script",
        tolerance=1e-4,
        table=[[[2, 4, 3]], [[2, 3], [2, 4, 5, 6, 3]]],
        filler=0,
        example=batch_of((3, 2)),
    )
    ids, mask = batch_of((7, 2))
    exact = load_module(run.student.checkpoint, "script")(ids, mask)

    assert load_file(weights.gpu)["head.dense.weight"].dtype == dtype
    assert (card["module"], card["precision"], card["recordable_tokens"]) == ("Encoder", precision, POSITIONS)
    assert max(each.largest for each in differences) <= 1e-4
    difference = (jit.load(tmp_path / "model_gpu.pt")(ids, mask) - exact).abs().max().item()
    assert 0 < difference < near


def test_a_traced_module_cannot_be_recorded(run: Run, tmp_path: Path) -> None:
    weights = compressed(run, tmp_path / "compressed", "fp16", "trace")
    card, _ = export_gpu(
        run.student,
        weights,
        tmp_path / "model_gpu.pt",
        method="trace",
        tolerance=1e-2,
        table=[[[2, 4, 3]]],
        filler=0,
        example=batch_of((3, 2)),
    )

    assert (card["module"], card["recordable_tokens"]) == ("HuggingFaceClassifier", 0)
    # Masks and positions are made where the ids are; a trace says "on the CPU".
    code = jit.load(tmp_path / "model_gpu.pt").code
    assert 'device("cpu")' not in code
    assert "prim.device(ids)" in code
