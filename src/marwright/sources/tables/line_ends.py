"""Rows that end with ``\\r`` in a table whose first line ends otherwise: many of them stand in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from marwright.sources.tables.parsing import Lines, Parsed, Parser
from marwright.sources.tables.records import Problem, Record

_PROBLEM = Problem("line ends of another kind than in line 1", "end all lines in the same way")


def holds_returns(line: str) -> bool:
    """Whether a ``\\r`` stands inside a line."""
    return "\r" in line and "\r" in line.rstrip("\r\n")


def parts(line: str) -> list[str]:
    """What stands between ``\\r``, without blank parts."""
    return [part for part in line.rstrip("\n").split("\r") if part.strip()]


def rows_in(line: str, parser: Parser, columns: int) -> list[Parsed]:
    """The rows that stand in a line, or the whole line as one if no part of it has as many fields as the table.

    A text may hold a ``\\r``, so a part that is no row proves nothing.
    """
    found = [row for part in parts(line) for row in Parser(Lines(iter([part])), parser.delimiter, parser.quoting)]
    if any(len(row.fields) == columns for row in found):
        return found
    return [Parsed(0, [line], line.rstrip("\r\n").split(parser.delimiter))]


def records(place: str, rows: Iterable[Mapping[str, object]]) -> Iterator[Record]:
    """The values of the rows in a line: the line is faulty, and each row in it is left out with its own text."""
    for number, values in enumerate(rows):
        if number:
            yield Record(place, values, aside=_PROBLEM.what)
        else:
            yield Record(place, values, problem=_PROBLEM)
