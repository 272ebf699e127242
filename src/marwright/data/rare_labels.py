"""Labels with too few rows or groups to be divided: which they are, where they stand, and what can be done."""

from __future__ import annotations

from collections import Counter

from marwright.errors import DataError
from marwright.sources.rows import Row

_SHOWN = 5


def too_rare(
    rare: set[str], per_label: Counter[str], first: Row, rows: int, parts: int, *, grouped: bool, named: bool
) -> DataError:
    """The refusal of rare labels, of which the row ``first`` has the first by name.

    ``rows`` should be divided into so many ``parts``; ``per_label`` counts the groups, or else the rows, of each label.
    Unless the labels are to be ``named``, it is said alone that none can be divided.
    """
    what = "groups" if grouped else "rows"
    cure = "Add rows, or set data.split.rare_labels to train_only or drop."
    if len(rare) == len(per_label):
        cure = f"No label has {parts} {what}, one for each split"
        if grouped and rows > len(per_label):
            cure += (
                ", since groups stay whole: add groups, or set data.split.by_group: false if their rows may be torn "
                "apart."
            )
        elif len(per_label) > parts and max(per_label.values()) == 1:
            cure += "; each has a label of its own: name the column of the classes in data.source.label."
        else:
            cure += "; add rows."
    if not named:
        return DataError(cure)
    names = ", ".join(f"{label!r} ({per_label[label]})" for label in sorted(rare)[:_SHOWN])
    more = f" and {len(rare) - _SHOWN} more" if len(rare) > _SHOWN else ""
    return DataError(
        f"Too few {what} to divide into {parts} splits for: {names}{more}. The first stands in {first.place}. {cure}"
    )
