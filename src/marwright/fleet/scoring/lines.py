"""Where the rows of a table in text begin, without parsing it: the driver looks at bytes, and workers parse."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from marwright.errors import DataError
from marwright.fleet.scoring.blocks import Span

CHUNK = 8 << 20
LONGEST_ROW = 32 << 20
BLANK = (b"\n", b"\r\n")
"""Lines that are no rows."""
_NEWLINE, _RETURN, _QUOTE = b'\n\r"'

Places = npt.NDArray[np.int64]


def spans(
    stream: BinaryIO,
    place: str,
    rows: int,
    delimiter: str = "",
    look: Callable[[bytes], None] | None = None,
) -> Iterator[Span]:
    """Divide what is left of a stream into spans of so many rows; blank lines are no rows.

    Args:
        stream: behind the header.
        place: named in errors.
        rows: of a span.
        delimiter: of a csv, whose quoted fields may hold line ends; empty if a line is a row.
        look: is given all lines, many at a time.

    Raises:
        DataError: a quotation mark is never closed.
    """
    base = start = stream.tell()
    done = seen = 0
    buffer, more = b"", True
    while more:
        data = stream.read(CHUNK)
        more = bool(data)
        buffer = buffer + data if buffer else data
        ends = _ends(buffer, last=not more)
        if delimiter and len(ends):
            ends = _row_ends(buffer, ends, delimiter)
        if len(buffer) > LONGEST_ROW and not len(ends):
            raise _endless(place, seen)
        if not len(ends):
            if not more and buffer:
                raise _endless(place, seen)
            continue
        if look is not None:
            look(buffer[: ends[-1]])
        counted = seen + np.cumsum(_filled(buffer, ends))
        for full in range(done + rows, int(counted[-1]) + 1, rows):
            stop = base + int(ends[np.searchsorted(counted, full)])
            yield Span(done, rows, start, stop)
            done, start = full, stop
        seen = int(counted[-1])
        base, buffer = base + int(ends[-1]), buffer[ends[-1] :]
    if buffer:
        raise _endless(place, seen)
    if seen > done:
        yield Span(done, seen - done, start, base)


def _endless(place: str, row: int) -> DataError:
    return DataError(
        f"{place}: a row behind row {row:,} does not end: a quotation mark opens a field and nothing closes it. "
        "Close it, or double the mark if it belongs to a quoted text."
    )


def _ends(buffer: bytes, *, last: bool) -> Places:
    """Behind each line."""
    ends = np.flatnonzero(np.frombuffer(buffer, np.uint8) == _NEWLINE) + 1
    if last and buffer and (not len(ends) or ends[-1] < len(buffer)):
        ends = np.append(ends, len(buffer))
    return ends


def _filled(buffer: bytes, ends: Places) -> npt.NDArray[np.bool_]:
    """Which rows have something in them."""
    starts = np.concatenate(([0], ends[:-1]))
    content = np.frombuffer(buffer, np.uint8)
    begins, lengths = content[starts], ends - starts
    lone = (begins == _NEWLINE) | ((begins == _RETURN) & (lengths == 2) & (content[ends - 1] == _NEWLINE))
    filled: npt.NDArray[np.bool_] = ~lone
    return filled


def _row_ends(buffer: bytes, ends: Places, delimiter: str) -> Places:
    """Leave out the ends of lines that are inside of a quoted field; and of a row that goes on behind the buffer."""
    marks = np.flatnonzero(np.frombuffer(buffer, np.uint8) == _QUOTE)
    if not len(marks):
        return ends
    if _well_formed(buffer, marks, ord(delimiter)):
        found: Places = ends[np.searchsorted(marks, ends) % 2 == 0]
        return found
    return _row_ends_as_read(buffer, ends, marks, delimiter)


def _well_formed(buffer: bytes, marks: Places, delimiter: int) -> bool:
    """Whether each quotation mark opens a field, closes one, or is doubled inside: then every second one opens.

    A carriage return alone outside of a field ends a row for Python's reader, and is an error.
    """
    content = np.frombuffer(buffer, np.uint8)
    if b"\r" in buffer:
        returns = np.flatnonzero(content == _RETURN)
        lone = returns[:-1] if returns[-1] == len(content) - 1 else returns
        lone = lone[content[lone + 1] != _NEWLINE]
        if (np.searchsorted(marks, lone) % 2 == 0).any():
            return False
    opening, closing = marks[::2], marks[1::2]
    before = content[opening[opening > 0] - 1]
    behind = content[closing[closing < len(content) - 1] + 1]
    begins = (before == delimiter) | (before == _NEWLINE) | (before == _QUOTE)
    ends = (behind == delimiter) | (behind == _NEWLINE) | (behind == _RETURN) | (behind == _QUOTE)
    return bool(begins.all() and ends.all())


def _row_ends_as_read(buffer: bytes, ends: Places, marks: Places, delimiter: str) -> Places:
    """The same where marks stand inside of fields: Python's own reader says how many lines a row with some has."""
    csv.field_size_limit(sys.maxsize)
    kept = np.ones(len(ends), np.bool_)
    after = 0
    for line in np.unique(np.searchsorted(ends, marks, side="right")).tolist():
        if line < after:
            continue
        count = 0 if line >= len(ends) else _lines_of_row(buffer, ends, line, delimiter)
        if not count:
            kept[line:] = False
            break
        after = line + count
        kept[line : after - 1] = False
    whole: Places = ends[kept]
    return whole


def _lines_of_row(buffer: bytes, ends: Places, line: int, delimiter: str) -> int:
    """How many lines the row has that begins in a line; none if it does not end here."""
    ran_out = False

    def lines() -> Iterator[str]:
        nonlocal ran_out
        start = int(ends[line - 1]) if line else 0
        for end in map(int, ends[line:]):
            # Bytes as characters: what counts is ASCII.
            yield buffer[start:end].decode("latin-1")
            start = end
        ran_out = True

    reader = csv.reader(lines(), delimiter=delimiter)
    with suppress(csv.Error):  # whoever reads the row says so
        next(reader)
    return 0 if ran_out else reader.line_num
