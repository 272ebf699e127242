"""Labels with too few rows or groups to be divided: which they are, where they stand, and what can be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from marwright.errors import DataError
from marwright.sources.rows import Row

_SHOWN = 5


def none_is_divisible(per_label: Counter[str], rows: Sequence[Row], parts: int, *, grouped: bool) -> str:
    """What to say where every label is rare.

    Args:
        per_label: the rows or groups of each label.
        rows: that should be divided.
        parts: the number of splits.
        grouped: whether groups are divided.
    """
    told = f"No label has {parts} {'groups' if grouped else 'rows'}, one for each split"
    if grouped and len(rows) > len(per_label):
        return (
            f"{told}, since groups stay whole: add groups, or set data.split.by_group: false if their rows may be torn "
            "apart."
        )
    if len(per_label) > parts and max(per_label.values()) == 1:
        return f"{told}; each has a label of its own: name the column of the classes in data.source.label."
    return f"{told}; add rows."


def too_few(rare: set[str], per_label: Counter[str], first: Row, parts: int, cure: str, *, grouped: bool) -> DataError:
    """The refusal of rare labels.

    Args:
        rare: these labels.
        per_label: the rows or groups of each label.
        first: a row of the first of them by name.
        parts: the number of splits.
        cure: a sentence.
        grouped: whether groups are divided.
    """
    names = ", ".join(f"{label!r} ({per_label[label]})" for label in sorted(rare)[:_SHOWN])
    more = f" and {len(rare) - _SHOWN} more" if len(rare) > _SHOWN else ""
    what = "groups" if grouped else "rows"
    return DataError(
        f"Too few {what} to divide into {parts} splits for: {names}{more}. The first stands in {first.place}. {cure}"
    )
