"""Single rows that a report shows: all that are answered wrongly, the least sure ones, those that look mislabelled.

Each is a dictionary, which the page and the report for programs take as it is. A ``row`` is a place in its split.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from marwright.files import read_json
from marwright.tasks import Task
from marwright.tasks.task import Logits, Probabilities, Targets, same
from marwright.workspace import Run

LEAST_SURE = 20
SHOWN_SUSPECTS = 50

Shown = dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """What a model answers to the rows of a split."""

    task: Task
    logits: Logits
    fitted: Mapping[str, Any]
    """What an archive's handler has besides the module."""
    right: Targets
    texts: Sequence[str]
    labels: Sequence[str]
    """All names."""

    @cached_property
    def given(self) -> Targets:
        """The answers."""
        return self.task.answers(self.logits, self.fitted)

    @cached_property
    def probabilities(self) -> Probabilities:
        """Shape (rows, labels)."""
        return self.task.probabilities(self.logits, self.fitted)

    @cached_property
    def confidence(self) -> Probabilities:
        """The probability of each answer, shape (rows,)."""
        return self.task.probability_of(self.given, self.probabilities)

    @cached_property
    def hits(self) -> npt.NDArray[np.bool_]:
        """Whether each answer is right, shape (rows,)."""
        return same(self.given, self.right)

    def mistakes(self) -> list[Shown]:
        """Every wrong answer, the surest first."""
        likelihood = self.task.probability_of(self.right, self.probabilities)
        return [
            {"row": row}
            | self._about(row)
            | {
                "answered": self._written(row),
                "probability": float(self.confidence[row]),
                "right_probability": float(likelihood[row]),
            }
            for row in self._surest(~self.hits)
        ]

    def least_sure(self) -> list[Shown]:
        """The rows with the lowest confidence, the lowest first, with their two likeliest labels."""
        found = []
        for row in np.argsort(self.confidence, kind="stable")[:LEAST_SURE].tolist():
            shares = self.probabilities[row]
            best, second = np.argsort(-shares, kind="stable")[:2].tolist()
            about = {"row": row} | self._about(row) | {"best": self.labels[best], "probability": float(shares[best])}
            found.append(about | {"second": self.labels[second], "second_probability": float(shares[second])})
        return found

    def disagreements(self, teacher: Answers) -> list[Shown]:
        """The rows to which the teacher gives another answer, first those in which the candidate is surest."""
        return [
            self._about(row)
            | {
                "candidate": self._written(row),
                "probability": float(self.confidence[row]),
                "teacher": teacher._written(row),
                "teacher_probability": float(teacher.confidence[row]),
            }
            for row in self._surest(~same(self.given, teacher.given))
        ]

    def _surest(self, chosen: npt.NDArray[np.bool_]) -> list[int]:
        """The chosen rows, the surest answer first."""
        rows = np.flatnonzero(chosen)
        ordered: list[int] = rows[np.argsort(-self.confidence[rows], kind="stable")].tolist()
        return ordered

    def _written(self, row: int) -> str:
        return self.task.written(self.given[row], self.labels)

    def _about(self, row: int) -> Shown:
        return {"text": self.texts[row], "right": self.task.written(self.right[row], self.labels)}


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
