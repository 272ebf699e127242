"""Labels that train lacks, and whether a classifier can be made of the rows and labels that are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from marwright.data.cleaning import CONTRADICTION, COUNTED_AS_WRONG, SEEN_IN_TEST, SEEN_IN_TRAIN, UNSEEN
from marwright.errors import DataError
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row
from marwright.tasks import Task

_OVERLAP = "give others, or set data.overlap to count"
_TRAIN = "give train rows of their labels"
# What helps, by the reason for which rows were left out; the first of several is advised.
_CURES = {
    SEEN_IN_TRAIN: _OVERLAP,
    SEEN_IN_TEST: _OVERLAP,
    CONTRADICTION: "correct the labels of texts that are the same",
    UNSEEN: _TRAIN,
    COUNTED_AS_WRONG: _TRAIN,
}


def labels_of(rows: Iterable[Row], task: Task, split: str | None = None) -> set[str]:
    """The labels of all rows, or of those of one split."""
    return {label for row in rows if split in (None, row.split) for label in task.labels_in(row.label)}


def treat_unseen_labels(
    rows: Sequence[Row], task: Task, choice: Literal["refuse", "drop", "count_as_wrong"], left_out: LeftOut
) -> tuple[list[Row], dict[str, int]]:
    """Take out validation and test rows with a label that no train row has; none where they are to be refused.

    Whatever a model answers to them is wrong, so they need not be asked to be counted. Validation chooses among models
    and fits a temperature, to which they add nothing: there they are dropped in either case.

    Returns:
        the rows that stay, and how many test rows count as wrong answers, by label.
    """
    trained = labels_of(rows, task, "train")
    kept, wrong = [], Counter[str]()
    for row in rows:
        if trained.issuperset(task.labels_in(row.label)) or choice == "refuse":
            kept.append(row)
        elif choice == "count_as_wrong" and row.split == "test":
            left_out.add(COUNTED_AS_WRONG, row)
            wrong[row.label] += 1
        else:
            left_out.add(UNSEEN, row)
    return kept, dict(sorted(wrong.items()))


def check_labels(rows: Sequence[Row], task: Task, left_out: LeftOut | None = None) -> None:
    """Refuse rows, each with its split, from which no classifier can be trained or tested.

    Raises:
        DataError: there are too few labels, a validation or test label does not occur in train, or all rows of a split
            were removed.
    """
    trained = labels_of(rows, task, "train")
    if len(trained) < task.fewest_labels:
        only = f"only the label {next(iter(trained))!r}" if trained else "no rows"
        needed = "two labels" if task.fewest_labels == 2 else "one label"
        raise DataError(f"The train split has {only}; a classifier needs at least {needed}.")
    unseen = [row for row in rows if not trained.issuperset(task.labels_in(row.label))]
    if unseen:
        raise DataError(
            f"{unseen[0].place}: the label {unseen[0].label!r} is in {unseen[0].split} but not in train "
            f"({len(unseen)} such rows). Correct the label, or add train rows for it; or, for an official test "
            "split, set data.unseen_labels to drop or count_as_wrong."
        )
    check_left(("validation", "test"), rows, left_out or LeftOut())


def check_left(splits: Iterable[str | None], rows: Sequence[Row], left_out: LeftOut) -> None:
    """Refuse to go on without the rows of a split that is needed; None is that of rows which have none yet.

    Raises:
        DataError: none of a split is left.
    """
    left = {row.split for row in rows}
    for split in splits:
        if split not in left:
            reasons = {row.reason for row in left_out.rows if row.split == split}
            cure = next((cure for reason, cure in _CURES.items() if reason in reasons), _OVERLAP)
            raise DataError(f"No {f'{split} rows' if split else 'rows'} are left: {cure}.")
