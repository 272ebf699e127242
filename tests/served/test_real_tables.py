"""Real tables with the shipped configurations, where they are at hand."""

from __future__ import annotations

import csv
import json
import random
import zipfile
from pathlib import Path

import pytest

from command_line import marwright
from goods_build import write_encoder
from marwright.files import read_json
from marwright.mar import layout
from marwright.workspace import Run
from real_tables import BANKING77, PRICERUNNER, needs


@needs(BANKING77)
def test_banking77_keeps_every_official_test_row(tmp_path: Path) -> None:
    own = ("--set", f"runs={tmp_path}", "--set", f"data.source.path={BANKING77}")
    done = marwright("build", "configs/banking77.yaml", "--until", "data", *own)
    assert done.returncode == 0, done.stderr
    card = read_json(Run(tmp_path / "banking77").data.card)
    assert card["rows"]["test"] == 3080
    assert card["labels"] == 77
    # Four of these ten, and two of these six, differ in capitals or blanks.
    assert card["seen_in_train"] == 10
    assert sum(card["dropped"].values()) == 6


@pytest.mark.slow
@needs(PRICERUNNER)
def test_a_teacher_without_student_gpu_or_scripting_classifies_product_titles(tmp_path: Path) -> None:
    with PRICERUNNER.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    sample = random.Random(0).sample(rows, 3000)
    with (tmp_path / "titles.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *sample])
    config, encoder = tmp_path / "titles.yaml", write_encoder(tmp_path / "encoder")
    config.write_text(
        f"name: titles\nruns: {tmp_path}/runs\nmodel_store: {tmp_path}/store\n"
        "data:\n  source: {name: table, path: " + str(tmp_path / "titles.csv") + ", split: split}\n"
        f"teacher: {{checkpoint: {encoder}, epochs: 1, learning_rate: 3.0e-4, max_length: 32}}\nstudent: none\n"
        "compression: {gpu: none}\nexport: {method: trace}\n",
        encoding="utf-8",
    )
    done = marwright("build", config)
    assert done.returncode == 0, done.stderr
    done = marwright("evaluate", tmp_path / "store" / "titles.mar", config, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["accuracy"] > 0.9
    assert result["same_label_as_student"] > 0.99
    with zipfile.ZipFile(tmp_path / "store" / "titles.mar") as archive:
        assert layout.GPU_MODULE not in archive.namelist()
        assert "deviceType: cpu" in archive.read(layout.MODEL_CONFIG).decode()
