"""With the toy scheme registered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

import tiny_run
from marwright.compression.station import compress
from marwright.config import CompressionConfig, ExportConfig
from marwright.encoder.families import load_module
from marwright.export.station import export
from marwright.files import read_json
from marwright.schemes import SCHEMES, Texts
from marwright.training.fake_quantization import rounding


@pytest.mark.parametrize(
    ("settings", "scheme"),
    [({"activations": "coarse"}, "toy-coarse"), ({"cpu": "int4"}, "toy-int4")],
)
def test_the_configuration_names_it_the_plan_does_and_export_builds_it(
    tmp_path: Path, settings: dict[str, str], scheme: str
) -> None:
    config = CompressionConfig.model_validate(settings | {"gpu": "none"})
    assert config.schemes == (scheme,)
    run = tiny_run.trained(tmp_path / "run")
    for folder in (run.compressed.root, run.exported.root):
        folder.mkdir()

    compress(config, ExportConfig(), run.data, run.student, output=run.compressed.root)
    export(ExportConfig(), run.data, run.student, run.compressed, max_length=32, output=run.exported.root)

    plan = read_json(run.compressed.plan)["cpu"]
    assert (plan["scheme"], plan["toys"]) == (scheme, 15)
    assert read_json(run.exported.card)["parity"]["after"]


def test_compression_tries_it(tmp_path: Path) -> None:
    run = tiny_run.trained(tmp_path / "run")
    run.compressed.root.mkdir()
    config = CompressionConfig(gpu="none")

    compress(config, ExportConfig(), run.data, run.student, output=run.compressed.root)

    assert "toy-coarse" in read_json(run.compressed.plan)["cpu"]["candidates"]


def test_quantization_aware_training_rounds_with_it(tmp_path: Path) -> None:
    run = tiny_run.trained(tmp_path / "run")
    CompressionConfig.model_validate({"cpu": "int4", "quantization_aware": {}})
    model = AutoModelForSequenceClassification.from_pretrained(run.student.checkpoint).eval()
    module = load_module(run.student.checkpoint, "script")
    roundings = SCHEMES["toy-int4"].roundings(model, module, Texts([[2, 4, 3]], 0), int8_embeddings=False)
    ids = torch.tensor([[2, 4, 5, 3]])
    with torch.no_grad():
        exact = model(ids).logits
        with rounding(model, roundings, embeddings=False):
            assert not torch.equal(model(ids).logits, exact)
