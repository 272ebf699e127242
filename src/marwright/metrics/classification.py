"""How good a classifier's answers are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class LabelFigures:
    """How one label fares; what cannot be computed is none."""

    label: str
    f1: float | None
    """None without a row of the label, right or answered."""
    precision: float | None
    """None if it was never answered."""
    recall: float | None
    """None without a row of it."""
    rows: int
    """Rows whose right label it is (its support)."""


def confusion_matrix(
    answered: npt.NDArray[np.integer[Any]], right: npt.NDArray[np.integer[Any]], labels: int
) -> npt.NDArray[np.int64]:
    """Rows by right label and by answered label, shape (labels, labels), from label ids of shape (rows,)."""
    counts = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(counts, (right, answered), 1)
    return counts


def figures_by_label(confusion: npt.NDArray[np.int64], labels: Sequence[str]) -> list[LabelFigures]:
    """The figures of every label, from counts of shape (labels, labels), right label by answered label."""
    rows, answered, hits = (each.tolist() for each in (confusion.sum(1), confusion.sum(0), confusion.diagonal()))
    return [
        LabelFigures(
            label,
            f1=_share(2 * hits[at], rows[at] + answered[at]),
            precision=_share(hits[at], answered[at]),
            recall=_share(hits[at], rows[at]),
            rows=rows[at],
        )
        for at, label in enumerate(labels)
    ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def scores(
    logits: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[np.integer[Any]],
    counted_as_wrong: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, float]:
    """Accuracy, macro-F1, weighted F1 and top-5 accuracy.

    Args:
        logits: shape (rows, labels); probabilities serve as well.
        labels: shape (rows,), the right label ids.
        counted_as_wrong: how many more rows there are, by labels that the classifier does not have.

    F1 is averaged over the labels that have rows: a label without a single row to find has none, and one that the
    classifier does not have has an F1 of zero.
    """
    from sklearn.metrics import f1_score

    predicted = logits.argmax(axis=1)
    present = np.unique(labels)
    top5 = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    # Factors of exactly 1 where there are no such rows.
    of_rows = len(labels) / (len(labels) + sum(counted_as_wrong.values()))
    of_labels = len(present) / (len(present) + len(counted_as_wrong))
    return {
        "accuracy": of_rows * float((predicted == labels).mean()),
        "macro_f1": of_labels * float(f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "weighted_f1": of_rows
        * float(f1_score(labels, predicted, labels=present, average="weighted", zero_division=0)),
        "top5_accuracy": of_rows * float((top5 == labels[:, None]).any(axis=1).mean()),
    }


def paired_interval(
    ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_], resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the difference of two accuracies on the same rows, by the bootstrap (Efron 1979).

    Each row gives +1, 0 or -1, so drawing rows with replacement is drawing the three counts from a multinomial
    distribution; the interval holds the middle 95 % of the differences drawn.

    Args:
        ours: shape (rows,), which rows the one classifier gets right.
        theirs: shape (rows,), which rows the other one does.
        resamples: draws.
        seed: of the draws; the same rows give the same interval.
    """
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    rows = len(ours)
    drawn = np.random.default_rng(seed).multinomial(
        rows, [gained / rows, lost / rows, (rows - gained - lost) / rows], size=resamples
    )
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / rows, [2.5, 97.5])
    return float(low), float(high)


def accuracy_interval(accuracy: float, rows: int) -> tuple[float, float]:
    """95 % interval of an accuracy measured on so many rows (Wilson 1927)."""
    z = 1.959964
    centre = (accuracy + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(accuracy * (1 - accuracy) / rows + z * z / (4 * rows * rows))
    return max(0.0, centre - half), min(1.0, centre + half)


def difference_interval(ours: float, theirs: float, rows: int) -> tuple[float, float]:
    """95 % interval of ``ours - theirs``, accuracies on so many rows each (Newcombe 1998, the hybrid score method).

    It takes the rows for different ones. On the same rows :func:`paired_interval` is narrower, but has to know which
    ones each gets right.
    """
    (low, high), (their_low, their_high) = accuracy_interval(ours, rows), accuracy_interval(theirs, rows)
    difference = ours - theirs
    below = math.hypot(ours - low, their_high - theirs)
    above = math.hypot(high - ours, theirs - their_low)
    return difference - below, difference + above
