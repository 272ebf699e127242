"""A build with pruning and quantization-aware training: from a student that is there to an archive that answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import marwright
from goods_build import Built
from marwright.files import read_json
from marwright.workspace import Run

MORE = """\
pruning: {kind: structured, heads: 0.4, neurons: 0.5, epochs: 2, learning_rate: 3.0e-4}
compression: {quantization_aware: {epochs: 1}, max_drop: 0.05, gpu: none}
"""


@pytest.mark.slow
def test_a_pruned_and_tuned_student_is_served_like_any_other(built: Built, tmp_path: Path) -> None:
    config = built.copied(tmp_path).config
    with config.open("a", encoding="utf-8") as file:
        file.write(MORE)
    done = marwright("build", config)
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "runs" / "goods")

    assert "student: fresh" in done.stderr
    assert "heads left in each layer" in done.stderr
    before, pruned, tuned = (read_json(run.model(name).metrics) for name in ("student", "pruned", "tuned"))
    assert pruned["pruning"]["parameters_left"] < 0.95 * before["parameters"]
    assert tuned["quantization_aware"]["test"] == pruned["test"]
    assert pruned["test"]["accuracy"] > before["test"]["accuracy"] - 0.04

    archive = tmp_path / "model_store" / "goods.mar"
    scored = json.loads(marwright("evaluate", archive, config, "--json").stdout)
    assert scored["accuracy"] > before["test"]["accuracy"] - 0.05
    assert scored["same_label_as_student"] > 0.97  # as the tuned model, which is what was compressed
    card = json.loads(marwright("inspect", archive, "--json").stdout)["card"]
    assert card["pruning"]["heads"] == pruned["pruning"]["heads"]
    assert card["tuned"] == tuned["test"]
    again = marwright("build", config)
    assert again.stderr.count("fresh, nothing to do") == 8
