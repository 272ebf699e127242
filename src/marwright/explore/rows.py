"""A line of the table: what was measured of a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from marwright.metrics.classification import paired_interval
from marwright.metrics.confidence import expected_calibration_error
from marwright.tasks import Task
from marwright.tasks.task import NONE, UNFITTED, Logits, Targets, same


@dataclass(frozen=True)
class SplitFigures:
    """How a candidate answers the rows of one split, through its exported module."""

    rows: int
    accuracy: float
    macro_f1: float
    top5_accuracy: float | None
    """None where labels have no order."""
    calibration_error: float
    """Expected calibration error in 15 bins."""
    drop: float
    """The teacher's accuracy less the candidate's; negative if the candidate is better."""
    interval: tuple[float, float]
    """95 % interval of the candidate's accuracy less the teacher's, by a paired bootstrap."""
    same_label_as_teacher: float


@dataclass(frozen=True)
class Latency:
    """Milliseconds on one thread: medians over rounds of each round's median and 99th percentile."""

    p50_1: float
    p99_1: float
    p50_16: float
    p99_16: float

    @property
    def texts_per_second(self) -> float:
        """Texts a second in calls of 16, on one thread."""
        return 16_000 / self.p50_16


@dataclass(frozen=True)
class Row:
    """A candidate and its figures; what could not be had is missing, and a failed one says why."""

    name: str
    about: str
    failure: str | None = None
    validation: SplitFigures | None = None
    test: SplitFigures | None = None
    latency: Latency | None = None
    module_bytes: int | None = None
    peak_memory_bytes: int | None = None
    """Peak resident memory of a process that loads and runs the module, above one that has only imported torch."""
    fp32_test_accuracy: float | None = None
    """Of the same model before compression and export, computed by transformers."""


def split_figures(
    task: Task,
    logits: Logits,
    teacher: Logits,
    targets: Targets,
    fitted: Mapping[str, Any] = UNFITTED,
    counted_as_wrong: Mapping[str, int] = NONE,
) -> SplitFigures:
    """Compare a candidate's logits with the teacher's.

    Args:
        task: says what is answered.
        logits: shape (rows, labels), of the exported module.
        teacher: the same shape, of the teacher in float32.
        targets: of the rows.
        fitted: what the archive's handler has besides the module.
        counted_as_wrong: how many more rows nobody can answer rightly, by label.
    """
    nobody = np.zeros(sum(counted_as_wrong.values()), dtype=bool)
    answers, taught = task.answers(logits, fitted), task.answers(teacher)
    confidence = task.probability_of(answers, task.probabilities(logits, fitted))
    hits = same(answers, targets)
    ours, theirs = (np.concatenate([each, nobody]) for each in (hits, same(taught, targets)))
    found = task.scores(logits, targets, counted_as_wrong, fitted)
    return SplitFigures(
        rows=len(ours),
        accuracy=found["accuracy"],
        macro_f1=found["macro_f1"],
        top5_accuracy=found.get("top5_accuracy"),
        calibration_error=expected_calibration_error(confidence, hits),
        # From counts: the difference of two fractions would be a rounding off from the limit that it may just reach.
        drop=(int(theirs.sum()) - int(ours.sum())) / len(ours),
        interval=paired_interval(ours, theirs),
        same_label_as_teacher=float(same(answers, taught).mean()),
    )


def row_as_json(row: Row) -> dict[str, Any]:
    """A row for programs."""
    value = asdict(row)
    if row.latency is not None:
        value["latency"]["texts_per_second"] = round(row.latency.texts_per_second, 1)
    return value
