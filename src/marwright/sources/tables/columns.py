"""Finds the columns that are wanted among those a table has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from marwright.errors import DataError
from marwright.formats.column_names import listed
from marwright.sources.tables.appearance import seen


def find(wanted: Iterable[str], columns: Sequence[str]) -> dict[str, int] | None:
    """The position of each wanted column, by its name; None unless each is there exactly once.

    A name also means the one column that looks the same, with blanks around it or composed of other characters (ä of
    one or of two), unless there is one that is equal.
    """
    found = {name: _positions(name, columns) for name in wanted}
    return {name: where[0] for name, where in found.items()} if all(len(it) == 1 for it in found.values()) else None


def require(
    wanted: Iterable[str], columns: Sequence[str], table: str, *, hint: str = "", otherwise: str = ""
) -> dict[str, int]:
    """The position of each wanted column, by its name.

    Args:
        wanted: names; they may repeat.
        columns: those of the table.
        table: its name.
        hint: what is wrong with the whole header, if a column is missing.
        otherwise: what may be, if no column has a similar name either.

    Raises:
        DataError: a column is missing, or occurs twice.
    """
    wanted = list(dict.fromkeys(wanted))
    found = {name: _positions(name, columns) for name in wanted}
    if missing := [name for name, where in found.items() if not where]:
        folded = {column.strip().lower(): column for column in columns}
        near = [folded[name] for wish in missing for name in difflib.get_close_matches(wish.lower(), folded, n=1)]
        guess = hint or (f"Did you mean {listed(near)}?" if near else otherwise)
        raise DataError(f"{table}: no column {listed(missing)}; its columns are {listed(columns)}. {guess}".rstrip())
    if twice := [name for name, where in found.items() if len(where) > 1]:
        raise DataError(f"{table}: column {listed(twice)} occurs twice; rename one of the two.")
    return {name: where[0] for name, where in found.items()}


def _positions(name: str, columns: Sequence[str]) -> list[int]:
    same = [index for index, column in enumerate(columns) if column == name]
    return same or [index for index, column in enumerate(columns) if seen(column) == seen(name) != ""]
