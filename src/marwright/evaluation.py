"""Scores an archive on a test split through its own handler."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from marwright.archive import layout
from marwright.archive.abstention import abstains, probabilities_in
from marwright.archive.protocol import Body
from marwright.archive.reading import unpacked
from marwright.archive.worker import running
from marwright.confidence import expected_calibration_error
from marwright.errors import ArchiveError
from marwright.files import read_json
from marwright.metrics import scores
from marwright.progress import track
from marwright.workspace import ModelFolder, Run

BATCH = 16


def evaluate(file: Path, run: Run, model: ModelFolder | None = None) -> dict[str, Any]:
    """Send every row of a run's test split through the archive's handler.

    Args:
        file: the archive.
        run: has the test split.
        model: what the archive was made from, if it is still there; the run's student if none is given.

    Returns:
        rows, accuracy, macro-F1, weighted F1, top-5 accuracy, expected calibration error, texts per second, and the
        share of rows on which the archive gives the same label as the model did in Python. All of these count
        every row. If the archive abstains on some, also the share of rows that get a label, and the accuracy on these.

    Raises:
        ArchiveError: the archive cannot be run, answers a row with an error, or has other labels than the run.
    """
    from datasets import load_from_disk

    labels = read_json(run.data.labels)
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
            bodies = [
                Body(json.dumps({"text": t, "top_k": len(labels)}).encode()) for t in texts[start : start + BATCH]
            ]
            for at, answer in enumerate(worker.answer(bodies), start):
                if answer.status != 200:
                    raise ArchiveError(f"{file}: row {at} of the test split was answered with {answer.status}")
                given = json.loads(answer.body)
                answered[at] = not abstains(given)
                for label, probability in probabilities_in(given).items():
                    probabilities[at, ids[label]] = probability
        seconds = time.monotonic() - started
    result: dict[str, Any] = {"archive": str(file), "rows": len(texts), **scores(probabilities, right)}
    result["expected_calibration_error"] = expected_calibration_error(probabilities, right)
    if not answered.all():
        result["coverage"] = float(answered.mean())
        if answered.any():
            hits = probabilities.argmax(axis=1) == right
            result["accuracy_when_answered"] = float(hits[answered].mean())
    student = (model or run.student).logits("test")
    if student.is_file():
        same = np.load(student).argmax(axis=1) == probabilities.argmax(axis=1)
        result["same_label_as_student"] = float(same.mean())
    result["texts_per_second"] = round(len(texts) / seconds, 1)
    return result
