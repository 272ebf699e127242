"""Splits of which cleaning has left nothing, and what can be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from marwright.data.cleaning import CONTRADICTION, SEEN_IN_TEST, SEEN_IN_TRAIN
from marwright.errors import DataError
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row

_OVERLAP = "give others, or set data.overlap to count"
CURES = {
    SEEN_IN_TRAIN: _OVERLAP,
    SEEN_IN_TEST: _OVERLAP,
    CONTRADICTION: "correct the labels of texts that are the same",
}
"""What helps, by the reason for which rows were left out; the first of several is advised."""


def check_left(
    splits: Iterable[str | None], rows: Sequence[Row], left_out: LeftOut, cures: Mapping[str, str] = CURES
) -> None:
    """Refuse to go on without the rows of a split.

    Args:
        splits: that are needed; None for rows that have no split yet.
        rows: that are left.
        left_out: the others.
        cures: by the reason for which they were left out.

    Raises:
        DataError: none of a split is left.
    """
    left = {row.split for row in rows}
    for split in splits:
        if split not in left:
            reasons = {row.reason for row in left_out.rows if row.split == split}
            cure = next((cure for reason, cure in cures.items() if reason in reasons), _OVERLAP)
            raise DataError(f"No {f'{split} rows' if split else 'rows'} are left: {cure}.")
