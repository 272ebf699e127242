"""Scores an archive on a test split through its own handler."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from marwright.console.progress import track
from marwright.errors import ArchiveError
from marwright.files import read_json
from marwright.mar import layout
from marwright.mar.abstention import abstains, probabilities_in
from marwright.mar.protocol import Body
from marwright.mar.reading import unpacked
from marwright.mar.training_digests import TrainingDigests
from marwright.mar.worker import running
from marwright.metrics.classification import LabelFigures
from marwright.metrics.confidence import expected_calibration_error
from marwright.metrics.verdicts import warnings
from marwright.tasks.task import same
from marwright.workspace import ModelFolder, Run

BATCH = 16
COLUMNS = ("row", "text", "label", "predicted", "probability", "label_probability", "right", "answered")
"""Of the predictions."""


def evaluate(
    file: Path, run: Run, model: ModelFolder | None = None, predictions: IO[str] | None = None
) -> dict[str, Any]:
    """Send every row of a run's test split through the archive's handler.

    Args:
        file: the archive.
        run: has the test split.
        model: what the archive was made from, if it is still there; the run's student if none is given.
        predictions: takes a csv with the columns :data:`COLUMNS`, a line for each row in the split's order.

    Returns:
        rows, accuracy, macro-F1, weighted F1, top-5 accuracy, expected calibration error, texts per second, the figures
        of each label, what speaks against the archive (``warnings``), and the share of rows on which it gives the
        same label as the model did in Python. All of these count every row. If the archive abstains on some, also the
        share of rows that get a label, and the accuracy on these.
        ``trained_on`` says how many of the rows the archive was trained on, and the accuracy on the others; None if it
        carries no digests of its training texts. ``counted_as_wrong`` are the rows, where there are any, whose label
        train lacks: they were not sent, and rows, accuracies and F1 count them.

    Raises:
        ArchiveError: the archive cannot be run, answers a row with an error, or has other labels than the run.
    """
    from datasets import load_from_disk

    task, labels = run.data.task, read_json(run.data.labels)
    with unpacked(file) as folder:
        own = json.loads((folder / layout.LABELS).read_text(encoding="utf-8"))
    if [own[str(index)] for index in range(len(own))] != labels:
        raise ArchiveError(
            f"{file}: its labels are not those of {run.data.labels}; evaluate it with its own configuration."
        )
    ids = {label: index for index, label in enumerate(labels)}
    test = load_from_disk(str(run.data.splits))["test"]
    texts, right = list(test["text"]), np.asarray(test["label"])
    probabilities = np.zeros((len(texts), len(labels)), dtype=np.float32)
    answered = np.zeros(len(texts), dtype=bool)
    with running(file) as worker:
        started = time.monotonic()
        for start in track(range(0, len(texts), BATCH), "rows through the handler", total=-(-len(texts) // BATCH)):
            sent = [{"text": text, "top_k": len(labels)} for text in texts[start : start + BATCH]]
            bodies = [Body(json.dumps(one).encode()) for one in sent]
            for at, answer in enumerate(worker.answer(bodies), start):
                if answer.status != 200:
                    raise ArchiveError(f"{file}: row {at} of the test split was answered with {answer.status}")
                given = json.loads(answer.body)
                answered[at] = not abstains(given)
                for label, probability in probabilities_in(given).items():
                    probabilities[at, ids[label]] = probability
        seconds = time.monotonic() - started
    wrong = run.data.counted_as_wrong()
    rows = len(texts) + sum(wrong.values())
    logits = task.logits(probabilities)
    answers = task.answers(logits)
    hits, confidence = same(answers, right), task.probability_of(answers, probabilities)
    result: dict[str, Any] = {"archive": str(file), "rows": rows, **task.scores(logits, right, wrong)}
    if wrong:
        result["counted_as_wrong"] = rows - len(texts)
    result["trained_on"] = _trained_on(file, texts, hits, rows - len(texts))
    result["expected_calibration_error"] = expected_calibration_error(confidence, hits)
    by_label = task.figures_by_label(answers, right, labels)
    by_label += [LabelFigures(label, 0.0, None, 0.0, count) for label, count in wrong.items()]
    result["labels"] = [_with_support(asdict(each)) for each in by_label]
    result["warnings"] = warnings(read_json(run.data.card), result["accuracy"])
    if not answered.all():
        result["coverage"] = float(answered.mean())
        if answered.any():
            result["accuracy_when_answered"] = float(hits[answered].mean())
    student = (model or run.student).logits("test")
    if student.is_file():
        result["same_label_as_student"] = float(same(task.answers(np.load(student)), answers).mean())
    result["texts_per_second"] = round(len(texts) / seconds, 1)
    if predictions is not None:
        shares = confidence, task.probability_of(right, probabilities)
        written = ([task.written(each, labels) for each in rows] for rows in (right, answers))
        _write(predictions, texts, *written, *shares, hits, answered)
    return result


def _trained_on(
    file: Path, texts: Sequence[str], hits: npt.NDArray[np.bool_], counted_as_wrong: int
) -> dict[str, Any] | None:
    digests = TrainingDigests.in_archive(file)
    if digests is None:
        return None
    others = ~np.asarray(digests.recognise(texts), dtype=bool)
    rows = int(others.sum()) + counted_as_wrong
    return {
        "rows": int((~others).sum()),
        "accuracy_on_others": float(hits[others].sum() / rows) if rows else None,
    }


def _with_support(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of a label under the names that are usual in programs."""
    support = figures.pop("rows")
    return figures | {"support": support}


def _write(out: IO[str], *columns: Iterable[Any]) -> None:
    """Write predictions; the columns are those of :data:`COLUMNS` but the first, which counts."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row, cells in enumerate(zip(*columns, strict=True)):
        writer.writerow((row, *map(_cell, cells)))


def _cell(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    return value if isinstance(value, str) else f"{value:.6f}"
