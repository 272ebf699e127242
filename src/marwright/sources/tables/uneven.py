"""Rows of a csv or tsv that have more or fewer fields than its header: their cure, and whether the header is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from marwright.errors import DataError
from marwright.formats.delimiters import NAMES
from marwright.sources.tables.parsing import Parsed
from marwright.sources.tables.records import Problem


@dataclass
class Uneven:
    """The uneven rows of one table; ``quoting`` says whether its fields may stand in quotation marks."""

    header: Sequence[str]
    delimiter: str
    quoting: bool
    _lengths: Counter[int] = field(default_factory=Counter)
    _first: Parsed | None = None

    def problem(self, row: Parsed, behind: int | None) -> Problem:
        """What is wrong with such a row; ``behind`` is the last line before it with a quotation mark behind a blank."""
        self._lengths[len(row.fields)] += 1
        self._first = self._first or row
        kind = "fewer" if len(row.fields) < len(self.header) else "more"
        what = f"{kind} fields than the {len(self.header)} columns"
        if behind is not None and behind + 1 == row.number:
            return Problem(
                what, "if its text begins in the line before, delete the blank before the quotation mark there"
            )
        return Problem(what, self._cure(row))

    def check(self, rows: int, table: str) -> None:
        """Blame the header where all rows of a table, of which there are so many, have the same number of fields.

        Raises:
            DataError: the header has another number.
        """
        if self._first is None or rows < 2 or self._lengths[len(self._first.fields)] < rows:
            return
        there = len(self._first.fields)
        raise DataError(
            f"{table}: each of its {rows} rows has {there} fields, but the header has {len(self.header)}; "
            f"{self._cure_for_all(self._first)}."
        )

    def _cure(self, row: Parsed) -> str:
        name = NAMES.get(self.delimiter, f"a {self.delimiter!r}")
        if len(row.fields) == 1 and self.delimiter in row.fields[0]:
            return "take away the quotation marks around the whole line"
        others = [other for other in NAMES if row.lines[0].count(other) == len(self.header) - 1]
        if self.delimiter not in row.lines[0] and others:
            return f"separate its fields by {self.delimiter!r} as the header's, not by {others[0]!r}"
        if not self.quoting:
            return (
                f"a text must hold neither {name} nor a line break; if fields stand in quotation marks, write "
                "data.source.quoting: true"
            )
        if len(row.fields) < len(self.header):
            return "complete the row or delete it; a text that holds a line break stands in quotation marks"
        if not any(value.strip() for value in row.fields[len(self.header) :]):
            return f"delete {name} at the end of the line, or put texts that hold one in quotation marks"
        return f"put texts that hold {name} in quotation marks"

    def _cure_for_all(self, row: Parsed) -> str:
        missing = len(row.fields) - len(self.header)
        if missing == -1 and not self.header[-1].strip():
            return "delete the delimiter at the end of the header"
        if missing == 1 and not row.fields[-1].strip():
            return f"if each row ends with a delimiter, write {self.delimiter!r} at the end of the header too"
        start = f"row{self.delimiter}"
        also = f"if each row begins with its number or name, write {start!r} at the beginning of the header; else "
        return (also if missing == 1 else "") + self._cure(row)
