"""Takes rows of fields off lines: quotation marks as in RFC 4180, or as ordinary characters."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LONGEST = (1 << 31) - 1  # all platforms can hold; csv's own limit is 131,072 characters
_NOT_CLOSED = "a quotation mark is never closed"
_NOT_DOUBLED = "a quotation mark inside quotation marks is not doubled"
_PADDED = ' "'
BLANK_BEHIND = "a blank stands behind a closing quotation mark"


class Lines(Iterator[str]):
    """Lines that can be put back; ``number`` is that of the last one given."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._back: deque[str] = deque()
        self.number = 0

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.number += 1
        return line

    def put_back(self, lines: Sequence[str]) -> None:
        """Give lines again that were given last."""
        self._back.extendleft(reversed(lines))
        self.number -= len(lines)

    def peek(self) -> str | None:
        """The next line, or None."""
        for line in self:
            self.put_back([line])
            return line
        return None


@dataclass(slots=True)
class Parsed:
    """One row: the lines it takes, the number of the first, its fields, and why they are not to be trusted.

    ``unpadded`` says that blanks before quotation marks were read as no part of the fields, ``padded`` that a field
    begins with a blank and a quotation mark.
    """

    number: int
    lines: list[str]
    fields: list[str]
    error: str = ""
    unpadded: bool = False
    padded: bool = False


class Parser(Iterator[Parsed]):
    """Takes rows off lines, and passes over blank lines.

    RFC 4180 has no blanks between a delimiter and a quotation mark, but some programs write them. They are dropped
    where the row can be read so; in a row of several lines only if one on a single line has been read so before.
    """

    def __init__(self, lines: Lines, delimiter: str, quoting: bool) -> None:
        csv.field_size_limit(_LONGEST)
        self.lines = lines
        self.delimiter = delimiter
        self.quoting = quoting
        self._pads = False

    def __next__(self) -> Parsed:
        line = next(self.lines)
        while not line.strip() and self.delimiter not in line:
            line = next(self.lines)
        if not self.quoting or '"' not in line:
            return Parsed(self.lines.number, [line], line.rstrip("\r\n").split(self.delimiter))
        row = self._quoted(line, skip_blanks=False)
        if len(row.lines) == 1 and _PADDED not in line:
            return row
        return self._unpadded(row) if _is_padded(row) else row

    def _quoted(self, line: str, skip_blanks: bool) -> Parsed:
        taken, number = [line], self.lines.number

        def more() -> Iterator[str]:
            yield _without_returns(line) if "\r" in line else line
            for following in self.lines:
                taken.append(following)
                yield _without_returns(following)

        reader = csv.reader(more(), delimiter=self.delimiter, strict=True, skipinitialspace=skip_blanks)
        try:
            return Parsed(number, taken, next(reader))
        except csv.Error as error:
            kind = _NOT_CLOSED if "end of data" in str(error) else self._not_doubled(taken[-1])
            return Parsed(number, taken, line.rstrip("\r\n").split(self.delimiter), kind)

    def _unpadded(self, row: Parsed) -> Parsed:
        """The row without blanks before quotation marks, or as it was where it cannot be read so."""
        self.give_back(row, keep=1)
        other = self._quoted(row.lines[0], skip_blanks=self.delimiter != " ")
        is_other = [value.lstrip(" ") for value in other.fields] != [value.lstrip(" ") for value in row.fields]
        if not other.error and is_other and (len(other.lines) == 1 or self._pads):
            self._pads = other.unpadded = True
            return other
        self.give_back(other, keep=1)
        for _ in row.lines[1:]:
            next(self.lines)
        row.padded = not row.error
        return row

    def _not_doubled(self, line: str) -> str:
        blank = re.search(f'" +({re.escape(self.delimiter)}|$)', line.rstrip("\r\n"))
        return BLANK_BEHIND if blank else _NOT_DOUBLED

    def give_back(self, row: Parsed, keep: int = 0) -> None:
        """Put back a row's lines but the first ``keep``."""
        self.lines.put_back(row.lines[keep:])


def _without_returns(line: str) -> str:
    """The line with a blank for every ``\\r`` inside it, which the csv module takes for the end of the line."""
    body = line.rstrip("\r\n")
    return body.replace("\r", " ") + line[len(body) :] if "\r" in body else line


def _is_padded(row: Parsed) -> bool:
    if row.error:
        return any(_PADDED in line for line in row.lines)
    return any(value[:1].isspace() and value.lstrip()[:1] == '"' for value in row.fields)
