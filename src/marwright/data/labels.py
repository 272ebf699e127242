"""Labels that train lacks, and whether a classifier can be made of the labels there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from marwright.errors import DataError
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row

UNSEEN = "the label does not occur in train"
COUNTED_AS_WRONG = "the label does not occur in train; the row counts as a wrong answer"


def treat_unseen_labels(
    rows: Sequence[Row], choice: Literal["refuse", "drop", "count_as_wrong"], left_out: LeftOut
) -> tuple[list[Row], dict[str, int]]:
    """Take out validation and test rows whose label no train row has; none where they are to be refused.

    Whatever a model answers to them is wrong, so they need not be asked to be counted. Validation chooses among models
    and fits a temperature, to which they add nothing: there they are dropped in either case.

    Returns:
        the rows that stay, and how many test rows count as wrong answers, by label.
    """
    trained = {row.label for row in rows if row.split == "train"}
    kept, wrong = [], Counter[str]()
    for row in rows:
        if row.label in trained or choice == "refuse":
            kept.append(row)
        elif choice == "count_as_wrong" and row.split == "test":
            left_out.add(COUNTED_AS_WRONG, row)
            wrong[row.label] += 1
        else:
            left_out.add(UNSEEN, row)
    return kept, dict(sorted(wrong.items()))


def check_labels(rows: Sequence[Row]) -> None:
    """Refuse rows from which no classifier can be trained or tested.

    Raises:
        DataError: there is one label only, a validation or test label does not occur in train, or all rows of a split
            were removed.
    """
    trained = {row.label for row in rows if row.split == "train"}
    if len(trained) < 2:
        only = f"only the label {next(iter(trained))!r}" if trained else "no rows"
        raise DataError(f"The train split has {only}; a classifier needs at least two labels.")
    unseen = [row for row in rows if row.label not in trained]
    if unseen:
        raise DataError(
            f"{unseen[0].place}: the label {unseen[0].label!r} is in {unseen[0].split} but not in train "
            f"({len(unseen)} such rows). Correct the label, or add train rows for it; or, for an official test "
            "split, set data.unseen_labels to drop or count_as_wrong."
        )
    for split in ("validation", "test"):
        if not any(row.split == split for row in rows):
            raise DataError(
                f"No {split} rows are left: the text of each stands in train too, or in test, or under several labels, "
                "or its label is not in train. Give others, or set data.overlap to count."
            )
