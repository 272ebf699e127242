"""Groups that the source itself has put on several sides of its split."""

from __future__ import annotations

from collections.abc import Sequence

from marwright.sources.rows import Row


def torn_groups(rows: Sequence[Row]) -> str:
    """How many groups have rows in several splits, with two places; empty where none has.

    Args:
        rows: each with its split.
    """
    first: dict[str, Row] = {}
    torn: dict[str, tuple[Row, Row]] = {}
    for row in rows:
        if row.group is not None and row.split != first.setdefault(row.group, row).split:
            torn.setdefault(row.group, (first[row.group], row))
    if not torn:
        return ""
    group, (one, other) = next(iter(torn.items()))
    return (
        f"{len(torn)} of {len(first)} groups have rows in several of the given splits, so test figures may flatter "
        f"(first {group}: {one.place} in {one.split}, {other.place} in {other.split})"
    )
