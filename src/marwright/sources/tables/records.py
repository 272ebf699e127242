"""One row of a table before anyone has judged it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Problem(NamedTuple):
    """Why a row cannot be used, what cures it, and where exactly, if not where the row starts."""

    what: str
    cure: str
    place: str = ""


class Record(NamedTuple):
    """A row as it stands in its table.

    ``place`` is its line or number ("12", "12 of test"), ``values`` are by column, as far as they could be read,
    and ``split`` is the part of the table it comes from, by the table's own name. ``aside`` says why the row
    is left out although nothing is wrong with it.
    """

    place: str
    values: Mapping[str, object]
    split: str | None = None
    problem: Problem | None = None
    aside: str = ""
