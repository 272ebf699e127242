"""Splits of which cleaning has left nothing, and what can be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from marwright.data.cleaning import CONTRADICTION, COUNTED_AS_WRONG, SEEN_IN_TEST, SEEN_IN_TRAIN, UNSEEN
from marwright.errors import DataError
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row

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
