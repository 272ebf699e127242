"""Single rows that a report shows: all that are answered wrongly, the least sure ones, those that look mislabelled."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marwright.files import read_json
from marwright.workspace import Run

LEAST_SURE = 20
SHOWN_SUSPECTS = 50


@dataclass(frozen=True)
class Mistake:
    """A test row that is answered wrongly."""

    row: int
    """Its place in the test split, from 0."""
    text: str
    right: str
    answered: str
    probability: float
    """Of the answer."""
    right_probability: float


@dataclass(frozen=True)
class Unsure:
    """A test row whose best label is hardly likelier than others."""

    row: int
    text: str
    right: str
    best: str
    probability: float
    second: str
    second_probability: float


@dataclass(frozen=True)
class Suspect:
    """A train row that looks mislabelled."""

    row: int
    """Its place in the train split, from 0."""
    text: str
    label: str
    self_confidence: float
    likelier_label: str
    likelier_probability: float


@dataclass(frozen=True)
class Suspects:
    """The most suspicious train rows, and what they were found among."""

    about: dict[str, Any]
    first: list[Suspect]


def mistakes_in(
    probabilities: npt.NDArray[np.floating[Any]],
    right: npt.NDArray[np.integer[Any]],
    texts: Sequence[str],
    labels: Sequence[str],
) -> list[Mistake]:
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
        Mistake(
            row,
            texts[row],
            labels[right[row]],
            labels[answered[row]],
            float(probabilities[row].max()),
            float(probabilities[row, right[row]]),
        )
        for row in surest.tolist()
    ]


def least_sure_in(
    probabilities: npt.NDArray[np.floating[Any]],
    right: npt.NDArray[np.integer[Any]],
    texts: Sequence[str],
    labels: Sequence[str],
) -> list[Unsure]:
    """The rows whose best label has the lowest probability, the lowest first; arguments as above."""
    found = []
    for row in np.argsort(probabilities.max(axis=1), kind="stable")[:LEAST_SURE].tolist():
        given = probabilities[row]
        best, second = np.argsort(-given, kind="stable")[:2].tolist()
        about = texts[row], labels[right[row]], labels[best], float(given[best]), labels[second], float(given[second])
        found.append(Unsure(row, *about))
    return found


def suspects_of(run: Run) -> Suspects | None:
    """What was found in a run's train split; nothing if nobody looked."""
    if not (run.suspects.is_file() and run.about_suspects.is_file()):
        return None
    # A text may be longer than what csv takes for a field unasked.
    csv.field_size_limit(2**31 - 1)
    first: list[Suspect] = []
    with run.suspects.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if len(first) == SHOWN_SUSPECTS:
                break
            first.append(
                Suspect(
                    int(line["row"]),
                    line["text"],
                    line["label"],
                    float(line["self_confidence"]),
                    line["likelier_label"],
                    float(line["likelier_probability"]),
                )
            )
    return Suspects(read_json(run.about_suspects), first)
