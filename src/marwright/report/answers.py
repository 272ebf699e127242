"""Single rows that a report shows: all that are answered wrongly, the least sure ones, those that look mislabelled.

Each is a dictionary, which the page and the report for programs take as it is. A ``row`` is a place in its split.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from marwright.files import read_json
from marwright.workspace import Run

LEAST_SURE = 20
SHOWN_SUSPECTS = 50

Shown = dict[str, Any]


def mistakes_in(
    probabilities: npt.NDArray[np.floating[Any]],
    right: npt.NDArray[np.integer[Any]],
    texts: Sequence[str],
    labels: Sequence[str],
) -> list[Shown]:
    """Every wrong answer, the surest first.

    Args:
        probabilities: shape (rows, labels).
        right: shape (rows,), right label ids.
        texts: of the rows.
        labels: all names.
    """
    answered = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answered != right)
    surest = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    return [
        {
            "row": row,
            "text": texts[row],
            "right": labels[right[row]],
            "answered": labels[answered[row]],
            "probability": float(probabilities[row].max()),
            "right_probability": float(probabilities[row, right[row]]),
        }
        for row in surest.tolist()
    ]


def least_sure_in(
    probabilities: npt.NDArray[np.floating[Any]],
    right: npt.NDArray[np.integer[Any]],
    texts: Sequence[str],
    labels: Sequence[str],
) -> list[Shown]:
    """The rows whose best label has the lowest probability, the lowest first, with their two best labels."""
    found = []
    for row in np.argsort(probabilities.max(axis=1), kind="stable")[:LEAST_SURE].tolist():
        given = probabilities[row]
        best, second = np.argsort(-given, kind="stable")[:2].tolist()
        about = {"row": row, "text": texts[row], "right": labels[right[row]]}
        about |= {"best": labels[best], "probability": float(given[best])}
        found.append(about | {"second": labels[second], "second_probability": float(given[second])})
    return found


def disagreements_in(
    ours: npt.NDArray[np.floating[Any]],
    theirs: npt.NDArray[np.floating[Any]],
    right: npt.NDArray[np.integer[Any]],
    texts: Sequence[str],
    labels: Sequence[str],
) -> list[Shown]:
    """The rows to which candidate and teacher give different labels, first those in which the candidate is surest."""
    differing = np.flatnonzero(ours.argmax(1) != theirs.argmax(1))
    return [
        {
            "text": texts[row],
            "right": labels[right[row]],
            "candidate": labels[ours[row].argmax()],
            "probability": float(ours[row].max()),
            "teacher": labels[theirs[row].argmax()],
            "teacher_probability": float(theirs[row].max()),
        }
        for row in differing[np.argsort(-ours[differing].max(axis=1), kind="stable")].tolist()
    ]


def suspects_of(run: Run) -> Shown | None:
    """What was found in a run's train split: the ``first`` rows, and ``about`` all; nothing if nobody looked."""
    if not (run.suspects.is_file() and run.about_suspects.is_file()):
        return None
    # A text may be longer than what csv takes for a field unasked.
    csv.field_size_limit(2**31 - 1)
    types = {"row": int, "self_confidence": float, "likelier_probability": float}
    with run.suspects.open(encoding="utf-8", newline="") as file:
        lines = islice(csv.DictReader(file), SHOWN_SUSPECTS)
        first = [{name: types.get(name, str)(value) for name, value in line.items()} for line in lines]
    return {"about": read_json(run.about_suspects), "first": first}
