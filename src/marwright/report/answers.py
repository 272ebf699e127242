"""Single rows that a report shows: all that are answered wrongly, the least sure ones, those that look mislabelled.

Each is a dictionary, which the page and the report for programs take as it is. A ``row`` is a place in its split.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from marwright.files import read_json
from marwright.workspace import Run

LEAST_SURE = 20
SHOWN_SUSPECTS = 50

Shown = dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """What a model answers to the rows of a split."""

    probabilities: npt.NDArray[np.floating[Any]]
    """Shape (rows, labels)."""
    right: npt.NDArray[np.integer[Any]]
    """Shape (rows,), right label ids."""
    texts: Sequence[str]
    labels: Sequence[str]
    """All names."""

    def mistakes(self) -> list[Shown]:
        """Every wrong answer, the surest first."""
        answered = self.probabilities.argmax(axis=1)
        return [
            {"row": row}
            | self._about(row)
            | {
                "answered": self.labels[answered[row]],
                "probability": float(self.probabilities[row].max()),
                "right_probability": float(self.probabilities[row, self.right[row]]),
            }
            for row in self._surest(answered != self.right)
        ]

    def least_sure(self) -> list[Shown]:
        """The rows whose best label has the lowest probability, the lowest first, with their two best labels."""
        found = []
        for row in np.argsort(self.probabilities.max(axis=1), kind="stable")[:LEAST_SURE].tolist():
            given = self.probabilities[row]
            best, second = np.argsort(-given, kind="stable")[:2].tolist()
            about = {"row": row} | self._about(row) | {"best": self.labels[best], "probability": float(given[best])}
            found.append(about | {"second": self.labels[second], "second_probability": float(given[second])})
        return found

    def disagreements(self, theirs: npt.NDArray[np.floating[Any]]) -> list[Shown]:
        """The rows to which the teacher gives another label, first those in which the candidate is surest."""
        return [
            self._about(row)
            | {
                "candidate": self.labels[self.probabilities[row].argmax()],
                "probability": float(self.probabilities[row].max()),
                "teacher": self.labels[theirs[row].argmax()],
                "teacher_probability": float(theirs[row].max()),
            }
            for row in self._surest(self.probabilities.argmax(axis=1) != theirs.argmax(axis=1))
        ]

    def _surest(self, chosen: npt.NDArray[np.bool_]) -> list[int]:
        """The chosen rows, the surest answer first."""
        rows = np.flatnonzero(chosen)
        ordered: list[int] = rows[np.argsort(-self.probabilities[rows].max(axis=1), kind="stable")].tolist()
        return ordered

    def _about(self, row: int) -> Shown:
        return {"text": self.texts[row], "right": self.labels[self.right[row]]}


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
