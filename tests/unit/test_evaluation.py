"""Scoring an archive: predictions row by row, figures label by label, and what speaks against it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_from_disk
from typer.testing import CliRunner

import tiny_run
from fake_torchserve import write_archive
from marwright import evaluation
from marwright.cli import archives
from marwright.cli.app import app
from marwright.errors import MarwrightError
from marwright.evaluation import COLUMNS, evaluate
from marwright.metrics.classification import confusion_matrix, figures_by_label
from marwright.workspace import Run


@pytest.fixture(scope="module")
def scored(tiny_archive: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The result of a real archive, and its predictions."""
    out = io.StringIO(newline="")
    result = evaluate(tiny_archive, Run(tiny_archive.parent / "run"), predictions=out)
    return result, list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))


@pytest.mark.slow
def test_every_row_has_its_prediction_in_the_split_s_order(
    scored: tuple[dict[str, Any], list[dict[str, str]]], tiny_archive: Path
) -> None:
    result, lines = scored
    test = load_from_disk(str(Run(tiny_archive.parent / "run").data.splits))["test"]

    assert tuple(lines[0]) == COLUMNS
    assert [line["row"] for line in lines] == [str(at) for at in range(60)]
    assert [line["text"] for line in lines] == list(test["text"])
    assert [line["label"] for line in lines] == [tiny_run.LABELS[at] for at in test["label"]]
    for line in lines:
        assert line["right"] == str(line["label"] == line["predicted"]).lower()
        assert float(line["label_probability"]) <= float(line["probability"]) <= 1
        assert line["answered"] == "true"
    assert np.mean([line["right"] == "true" for line in lines]) == pytest.approx(result["accuracy"])


@pytest.mark.slow
def test_each_label_has_its_figures(scored: tuple[dict[str, Any], list[dict[str, str]]]) -> None:
    result, lines = scored

    assert [each["label"] for each in result["labels"]] == tiny_run.LABELS
    for each in result["labels"]:
        given = [line for line in lines if line["predicted"] == each["label"]]
        rows = [line for line in lines if line["label"] == each["label"]]
        hits = sum(line["right"] == "true" for line in rows)
        assert each["support"] == len(rows) == 12
        assert each["recall"] == pytest.approx(hits / len(rows))
        assert each["precision"] == (pytest.approx(hits / len(given)) if given else None)


@pytest.mark.slow
def test_what_speaks_against_it_is_in_the_result(scored: tuple[dict[str, Any], list[dict[str, str]]]) -> None:
    result, _ = scored

    assert result["accuracy"] <= 0.2 or result["warnings"] == []
    assert result["accuracy"] > 0.2 or result["warnings"][0].startswith("No better than one answer to everything")


def test_a_label_without_rows_or_answers_has_no_figures() -> None:
    counts = confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 1]), 4)
    tea, coffee, never_given, never_seen = figures_by_label(counts, ["tea", "coffee", "rice", "wool"])

    assert (tea.precision, tea.recall, tea.f1, tea.rows) == (0.5, 1.0, pytest.approx(2 / 3), 1)
    assert (coffee.precision, coffee.recall, coffee.f1, coffee.rows) == (1.0, 1.0, 1.0, 1)
    assert (never_given.precision, never_given.recall, never_given.f1, never_given.rows) == (None, 0.0, 0.0, 1)
    assert (never_seen.precision, never_seen.recall, never_seen.f1, never_seen.rows) == (None, None, None, 0)


# --- the verb ----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose archive is scored in no time."""

    def planted(*arguments: Any) -> dict[str, Any]:
        arguments[-1].write("row,text\n0,tea\n")
        shares = ("accuracy", "macro_f1", "weighted_f1", "top5_accuracy", "expected_calibration_error")
        labels = [{"label": "[red]\x1b[31m", "precision": None, "recall": 0.5, "f1": 0.0, "support": 2}]
        about = {"rows": 2, "texts_per_second": 10.0, "labels": labels, "trained_on": None}
        about["warnings"] = ["Worse than all others."]
        return {**dict.fromkeys(shares, 0.5), **about}

    monkeypatch.setattr(evaluation, "evaluate", planted)
    monkeypatch.setattr(archives, "build", lambda *_, **__: [])
    write_archive(tmp_path / "goods.mar")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "goods.yaml"
    file.write_text("name: goods\ndata: {source: {name: table, path: goods.csv}}\n", encoding="utf-8")
    return file


def run_verb(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["evaluate", "goods.mar", *map(str, arguments)])


def test_predictions_are_written_to_a_file_or_to_standard_output(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "answers.csv"

    assert run_verb(config, "--predictions", file).exit_code == 0
    assert file.read_text(encoding="utf-8") == "row,text\n0,tea\n"
    assert run_verb(config, "--predictions", "-").stdout == "row,text\n0,tea\n"


def test_the_table_has_each_label_as_it_is_and_the_warnings(config: Path) -> None:
    done = run_verb(config)

    assert "[red]\\x1b[31m" in done.stdout
    assert "support" in done.stdout
    assert "Worse than all others." in done.stderr
    assert json.loads(run_verb(config, "--json").stdout)["labels"][0]["support"] == 2


def test_an_archive_that_is_not_there_is_said_before_any_work(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "build", None)
    (tmp_path / "goods.mar").unlink()

    error = run_verb(config).exception
    assert isinstance(error, MarwrightError)
    assert "goods.mar" in str(error)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "evaluate", None)
    (tmp_path / "file").touch()

    for place, reason in ((tmp_path, "folder"), (tmp_path / "file" / "answers.csv", "cannot be written")):
        error = run_verb(config, "--predictions", place).exception
        assert isinstance(error, MarwrightError)
        assert reason in str(error)
    assert "standard output" in str(run_verb(config, "--json", "--predictions", "-").exception)
