"""Precision per layer: the layer that int8 ruins is found and kept, all others become int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from datasets import load_from_disk
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import tiny_run
from marwright.compression.choosing import Measured, choose
from marwright.compression.station import compress
from marwright.config import CompressionConfig, ExportConfig
from marwright.encoder.families import HuggingFaceClassifier
from marwright.encoder.logits import logits_of
from marwright.errors import CompressionError
from marwright.export.station import export
from marwright.files import read_json
from marwright.pretrained.tokenization import token_ids
from marwright.workspace import CompressedFolder, Run

RUINED = "last.after_attention.down"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose student has a layer that int8 ruins.

    One input channel is always zero, so that its weights do nothing in float; they are so large that a scale that
    holds them leaves no step for the others.
    """
    made = tiny_run.trained(tmp_path / "run")
    file = made.student.checkpoint / "model.safetensors"
    weights = load_file(file)
    layer = "bert.encoder.layer.2."
    weights[layer + "intermediate.dense.weight"][7] = 0
    weights[layer + "intermediate.dense.bias"][7] = 0
    # The layer decides the answer, and attention is moderate, so that the others lose nothing.
    weights[layer + "output.dense.weight"] *= 8
    weights[layer + "output.dense.weight"][:, 7] = 1e5
    for index in range(3):
        weights[f"bert.encoder.layer.{index}.attention.self.query.weight"] *= 0.2
    save_file(weights, file, metadata={"format": "pt"})
    # Answers around zero: random weights would give every text the same label.
    weights["classifier.bias"] -= torch.from_numpy(answers(made).mean(axis=0))
    save_file(weights, file, metadata={"format": "pt"})
    np.save(made.student.logits("test"), answers(made))
    return made


def answers(run: Run) -> npt.NDArray[np.float32]:
    """The student's logits of the test split."""
    tokenizer = Tokenizer.from_file(str(run.student.tokenizer))
    rows = token_ids(tokenizer, list(load_from_disk(str(run.data.splits))["test"]["text"]))
    return logits_of(HuggingFaceClassifier(run.student.checkpoint), rows, 0, "test")


def compressed(run: Run, **settings: object) -> CompressedFolder:
    folder = run.compressed
    folder.root.mkdir()
    config = CompressionConfig.model_validate({"gpu": "none", **settings})
    compress(config, ExportConfig(), run.data, run.student, output=folder.root)
    return folder


def test_the_layer_that_int8_ruins_stays_in_float(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = compressed(run, max_drop=0.1)
    plan = read_json(folder.plan)["cpu"]
    tensors = load_file(folder.cpu)

    assert plan["kept_in_fp32"] == [RUINED]
    assert max(plan["costs"], key=plan["costs"].get) == RUINED
    assert plan["candidates"]["int8-dynamic"]["same_label"] < 0.9 <= plan["same_label"]
    assert f"{RUINED}.weight" in tensors
    assert {name.removesuffix(".rows") for name in tensors if name.endswith(".rows")} == set(plan["int8_linears"])
    # A head, four products in each layer with queries apart in the last, but for the one.
    assert len(plan["int8_linears"]) == 1 + 3 * 4 + 1 - 1
    assert f"1 of {len(plan['costs'])} layers stay in fp32 ({RUINED})" in capsys.readouterr().err


@pytest.mark.slow
def test_the_module_with_a_layer_in_float_is_exported(run: Run) -> None:
    folder = compressed(run, max_drop=0.1)
    run.exported.root.mkdir()
    export(ExportConfig(), run.data, run.student, folder, max_length=tiny_run.LONGEST, output=run.exported.root)

    assert read_json(run.exported.card)["test"]["same_label_as_student"] >= 0.9


def test_without_a_limit_every_layer_is_int8(run: Run) -> None:
    plan = read_json(compressed(run, activations="dynamic").plan)["cpu"]

    assert RUINED in plan["int8_linears"]
    assert "kept_in_fp32" not in plan


def test_a_limit_that_is_kept_anyway_changes_nothing(run: Run) -> None:
    plan = read_json(compressed(run, activations="dynamic", max_drop=0.99).plan)["cpu"]

    assert RUINED in plan["int8_linears"]
    assert "kept_in_fp32" not in plan


@pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="static int8 needs a processor with AVX-512 VNNI")
def test_static_int8_cannot_keep_a_layer_and_says_so(run: Run) -> None:
    with pytest.raises(CompressionError, match=r"max_drop: static int8 changes .*% of the labels.*activations: auto"):
        compressed(run, activations="static", max_drop=0.1)


def test_a_slower_form_is_taken_if_only_it_keeps_the_limit() -> None:
    found = {"static": Measured(same_label=0.97, ms=5.0), "dynamic": Measured(same_label=0.974, ms=9.0)}

    assert choose(found) == "static"
    assert choose(found, max_drop=0.028) == "dynamic"
    assert choose(found, max_drop=0.02) is None
