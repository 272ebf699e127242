"""A Bi-LSTM student from the command line: distilled on altered texts, exported, packed and served."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from command_line import marwright
from goods_build import Built
from marwright.config import BiLstmShape, StudentConfig
from marwright.files import read_json
from marwright.mar.worker import running
from marwright.training.checkpoint import start_student
from marwright.workspace import Run
from tiny_models import VOCABULARY, save_tiny_classifier

STUDENT = "{bilstm: {hidden: 48, dense: 48}, epochs: 3, learning_rate: 4.0e-3, augmentation: {copies: 1}}"


def test_it_starts_from_the_teachers_words_as_the_teacher_reads_them(tmp_path: Path) -> None:
    folder = save_tiny_classifier(tmp_path, "bert")
    teacher = AutoModelForSequenceClassification.from_pretrained(folder)
    words = teacher.get_input_embeddings().weight
    student = start_student(StudentConfig(bilstm=BiLstmShape(hidden=4)), teacher, list("abcde"))
    own = student.get_input_embeddings().weight

    assert own.shape == (VOCABULARY, 16)
    normalised = (words - words.mean(1, keepdim=True)) / words.std(1, correction=0, keepdim=True)
    torch.testing.assert_close(own, normalised, atol=0.01, rtol=0)
    assert student.config.id2label == teacher.config.id2label


@pytest.mark.slow
def test_a_bilstm_goes_the_whole_road(built: Built, tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "goods")
    for name in ("data", "teacher"):
        shutil.copytree(built.run.folder(name), run.folder(name))
        shutil.copy(built.run.stamp(name), run.stamp(name))
    settings = {"runs": tmp_path / "runs", "model_store": tmp_path, "student": STUDENT, "compression.gpu": "fp16"}
    done = marwright("build", built.config, *[part for at, to in settings.items() for part in ("--set", f"{at}={to}")])

    assert done.returncode == 0, done.stderr
    assert "altered texts beside" in done.stderr
    card, labels = read_json(run.exported.card), read_json(run.data.card)
    assert card["module"] == "PackedLstm"
    assert card["test"]["accuracy"] > labels["majority_share"]["test"] + 0.2
    assert card["test"]["same_label_as_student"] >= 0.98
    with running(tmp_path / "goods.mar") as worker:
        (answer,) = worker.classify(["rice in the husk"], top_k=1)
    assert list(answer) == ["Vegetable products"]
