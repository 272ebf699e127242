"""Takes rows of fields off lines: quotation marks as in RFC 4180, or as ordinary characters."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LONGEST = (1 << 31) - 1  # all platforms can hold; csv's own limit is 131,072 characters
_NOT_CLOSED = "a quotation mark is never closed"
_NOT_DOUBLED = "a quotation mark inside quotation marks is not doubled"


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
    """One row: the lines it takes, the number of the first, its fields, and why they are not to be trusted."""

    number: int
    lines: list[str]
    fields: list[str]
    error: str = ""


class Parser(Iterator[Parsed]):
    """Takes rows off lines, and passes over blank lines."""

    def __init__(self, lines: Lines, delimiter: str, quoting: bool) -> None:
        csv.field_size_limit(_LONGEST)
        self.lines = lines
        self.delimiter = delimiter
        self.quoting = quoting

    def __next__(self) -> Parsed:
        line = next(self.lines)
        while not line.strip() and self.delimiter not in line:
            line = next(self.lines)
        taken, number = [line], self.lines.number
        if not self.quoting or '"' not in line:
            return Parsed(number, taken, line.rstrip("\r\n").split(self.delimiter))

        def more() -> Iterator[str]:
            yield _without_returns(line)
            for following in self.lines:
                taken.append(following)
                yield _without_returns(following)

        try:
            return Parsed(number, taken, next(csv.reader(more(), delimiter=self.delimiter, strict=True)))
        except csv.Error as error:
            kind = _NOT_CLOSED if "end of data" in str(error) else _NOT_DOUBLED
            return Parsed(number, taken, line.rstrip("\r\n").split(self.delimiter), kind)

    def give_back(self, row: Parsed, keep: int = 0) -> None:
        """Put back a row's lines but the first ``keep``."""
        self.lines.put_back(row.lines[keep:])


def _without_returns(line: str) -> str:
    """The line with a blank for every ``\\r`` inside it, which the csv module takes for the end of the line."""
    body = line.rstrip("\r\n")
    return body.replace("\r", " ") + line[len(body) :] if "\r" in body else line
