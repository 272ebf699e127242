"""What is scored at once: some rows of one input, which become one part of the output."""

from __future__ import annotations

import re
from dataclasses import dataclass

ROWS = 1024
"""Rows of a block; the last one of an input may have fewer. So all workers of a small job end together."""
LARGE_JOB = 1_000_000
"""From so many rows on, several blocks become one: each costs whoever hands it out some time."""
MERGED_BLOCKS = 4
MOST_ROWS = ROWS * MERGED_BLOCKS
PART = re.compile(r"part-\d{5,}-\d{12,}-\d{12,}\.[a-z]+")
"""How the parts of an output are called."""


@dataclass(frozen=True)
class Source:
    """An input, as whoever reads a block of it needs to know it."""

    number: int
    """Among all inputs, which are sorted by name."""
    place: str
    """Its absolute path or URL."""
    kind: str
    """The suffix that says what it is."""
    columns: tuple[tuple[str, str], ...] = ()
    """Names and types of the columns of a table in text."""
    delimiter: str = ""


@dataclass(frozen=True)
class Span:
    """Some rows of an input, and the bytes of a table in text that hold them."""

    first: int
    """The first row, from 0."""
    rows: int
    start: int = 0
    stop: int = 0


@dataclass(frozen=True)
class Block:
    """Rows that become one part."""

    source: Source
    span: Span

    @property
    def name(self) -> str:
        """Of the part, without a suffix; the names sort as the rows do."""
        first = self.span.first
        return f"part-{self.source.number:05d}-{first:012d}-{first + self.span.rows - 1:012d}"
