"""A task with several labels for each text is one file and one line: from a table to what lies in an archive."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from marwright.compression.station import compress
from marwright.config import CompressionConfig, DataConfig, ExportConfig, StudentConfig, TeacherConfig
from marwright.data.station import prepare_data
from marwright.explore.rows import split_figures
from marwright.export.station import export
from marwright.files import read_json
from marwright.tasks import TASKS
from marwright.tasks.task import same
from marwright.training.student import train_student
from marwright.training.teacher import train_teacher
from marwright.workspace import Run
from tiny_models import save_tiny_checkpoint
from toy_task import SeveralLabels

TASK = SeveralLabels()
WORDS = {"tea": "the", "coffee": "of", "wool": "and"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the task, up to its exported student."""
    folder = tmp_path_factory.mktemp("several")
    chance = random.Random(0)
    lines = ["text,label"]
    for row in range(150):
        labels = [label for label in WORDS if chance.random() < 0.5] or ["tea"]
        lines.append(f"{' '.join(WORDS[label] for label in labels)} {row},{'+'.join(labels)}")
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    checkpoint = save_tiny_checkpoint(folder / "checkpoint", num_hidden_layers=2)
    source = {"name": "table", "path": str(folder / "table.csv")}
    made = Run(folder / "run")
    for root in (made.data.root, made.teacher.root, made.student.root, made.compressed.root, made.exported.root):
        root.mkdir(parents=True)
    exporting = ExportConfig()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, TASK.name, TASK)
        config = DataConfig.model_validate({"source": source})
        prepare_data(config, TASK, checkpoint=str(checkpoint), max_length=24, seed=7, output=made.data.root)
        assert made.data.task is TASK
        teaching = TeacherConfig(checkpoint=str(checkpoint), max_length=24, epochs=1, learning_rate=2e-3)
        train_teacher(teaching, made.data, seed=7, output=made.teacher.root, work=folder / "teacher")
        learning = StudentConfig(layers=(0,), epochs=1, learning_rate=2e-3)
        train_student(
            learning, made.data, made.teacher, max_length=24, seed=7, output=made.student.root, work=folder / "student"
        )
        compress(CompressionConfig(), exporting, made.data, made.student, output=made.compressed.root)
        export(exporting, made.data, made.student, made.compressed, max_length=24, output=made.exported.root)
        yield made


@pytest.mark.slow
def test_its_labels_are_divided_and_stored_as_it_says(run: Run) -> None:
    from datasets import load_from_disk

    card = read_json(run.data.card)
    assert card["task"] == TASK.name
    assert read_json(run.data.labels) == sorted(WORDS)
    assert sum(card["rows_per_label"].values()) > sum(card["rows"].values())
    assert card["baseline"]["accuracy"] > 0.9  # a word for each label
    targets = np.asarray(load_from_disk(str(run.data.splits))["train"]["label"])
    assert targets.shape[1] == len(WORDS)
    assert targets.any(axis=0).all()


@pytest.mark.slow
def test_it_is_learnt_and_scored_by_its_own_figures(run: Run) -> None:
    for model in (run.teacher, run.student):
        assert set(read_json(model.metrics)["test"]) == {"accuracy", "micro_f1", "macro_f1"}
        assert set(read_json(model.history)[0]) == {"epoch", "train_loss", "validation_loss", *TASK.followed}
        assert read_json(model.checkpoint / "config.json")["problem_type"] == TASK.problem_type
    assert np.isfinite(np.load(run.student.logits("test"))).all()


@pytest.mark.slow
def test_what_it_fits_lies_with_the_exported_module(run: Run) -> None:
    card = read_json(run.exported.card)
    assert card["confidence"]["threshold"] in (0.3, 0.5, 0.7)
    assert card["confidence"]["why"] == "best of three on validation rows"
    assert 0 <= card["test"]["same_label_as_student"] <= 1
    # Probabilities of several labels need not sum to 1.
    sums = [sum(one["probability"] for one in request["answer"]) for request in read_json(run.exported.golden)]
    assert any(abs(total - 1) > 0.01 for total in sums)


@pytest.mark.slow
def test_candidates_are_compared_by_whole_answers(run: Run) -> None:
    from datasets import load_from_disk

    targets = np.asarray(load_from_disk(str(run.data.splits))["test"]["label"])
    ours, theirs = np.load(run.exported.logits("test")), np.load(run.teacher.logits("test"))
    figures = split_figures(TASK, ours, theirs, targets)

    assert figures.top5_accuracy is None
    assert figures.accuracy == pytest.approx(same(TASK.answers(ours), targets).mean())
    by_label = TASK.figures_by_label(TASK.answers(ours), targets, sorted(WORDS))
    assert [each.label for each in by_label] == sorted(WORDS)


@pytest.mark.parametrize("task", [*TASKS.values(), TASK], ids=lambda task: task.name)
def test_every_task_keeps_its_promises(task: SeveralLabels) -> None:
    names = ["a", "b", "c"]
    targets = task.targets(["b", "a", "c", "a"], names)
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    probabilities, answers = task.probabilities(logits), task.answers(logits)

    assert [task.written(each, names) for each in targets] == ["b", "a", "c", "a"]
    assert task.strata(targets).tolist() == [1, 0, 2, 0]
    np.testing.assert_allclose(task.probabilities(task.logits(probabilities)), probabilities)
    assert (same(task.answers(task.logits(probabilities)), answers)).all()
    assert same(targets, targets).all()
    assert task.scores(logits, targets)["accuracy"] == pytest.approx(same(answers, targets).mean())
    assert {*task.figures, *task.followed, task.best_by} <= set(task.scores(logits, targets))
    losses = task.log_losses(logits, targets)
    np.testing.assert_allclose(losses, -np.log(task.probability_of(targets, probabilities)))
    loss = task.loss(torch.from_numpy(logits).double(), torch.from_numpy(targets))
    assert float(loss) == pytest.approx(float(losses.mean()), rel=1e-5)
    total = task.loss(torch.from_numpy(logits).double(), torch.from_numpy(targets), reduction="sum")
    assert float(total) == pytest.approx(float(losses.sum()), rel=1e-5)
    assert set(task.settings) <= set(task.fit(logits, targets).settings)
    assert [each.label for each in task.figures_by_label(answers, targets, names)] == names
