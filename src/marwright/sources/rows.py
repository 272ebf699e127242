"""A labelled text on its way from a source into the splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from marwright.sources.left_out import LeftOut


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text.

    ``place`` says where it was found, for error messages; rows of one ``group`` stay on one side of a split;
    ``split`` is the side the source itself put it on (``train``, ``validation`` or ``test``), if it did.
    """

    text: str
    label: str
    place: str
    group: str | None = None
    split: str | None = None


@dataclass
class Reading:
    """What a source gives: its rows, to be read once, what it left out and why, and sentences about how it was read.

    ``left_out`` and ``notes`` are complete only when ``rows`` has been read to its end.
    """

    rows: Iterator[Row]
    origin: str
    left_out: LeftOut = field(default_factory=LeftOut)
    notes: list[str] = field(default_factory=list)
