"""csv and tsv: fields between delimiters, in quotation marks where those are used (RFC 4180)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from marwright.errors import DataError
from marwright.formats.delimiters import NAMES, said_in
from marwright.sources.tables import columns, line_ends
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.parsing import BLANK_BEHIND, Lines, Parsed, Parser
from marwright.sources.tables.records import Problem, Record
from marwright.sources.tables.settings import TableSource
from marwright.sources.tables.text_files import TextFile
from marwright.sources.tables.uneven import Uneven

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
# What is said of all rows of a kind together, with their number and the line of the first.
_UNPADDED = (
    "in {count} of its rows (first in line {first}) blanks stand before a quotation mark that opens a field; they were "
    "read as no part of it"
)
_PADDED = (
    "in {count} of its rows (first in line {first}) a field begins with a blank and a quotation mark, which were read "
    "as part of it"
)
_IN_QUOTES = (
    "fields of {count} rows begin and end with a quotation mark (first in line {first}), which was read as part of "
    "them; if it is none, write data.source.quoting: true"
)


def read(text: TextFile, source: TableSource, wanted: Sequence[str], faults: Faults, usual: str) -> Iterator[Record]:
    """The rows of a csv or tsv; its suffix stands for the usual delimiter, and the source may say another.

    Raises:
        DataError: the header lacks a column, or, unless faulty rows are skipped, quotation marks do not match.
    """
    lines = Lines(text.lines())
    quoting = source.quoting if source.quoting is not None else usual != "\t"
    first = _said(lines)
    said = source.delimiter or first
    parser = Parser(lines, said or usual, quoting)
    header = _header(parser, said, wanted, faults, text)
    if header:
        yield from _Rows(parser, header, source, faults, text).read(wanted)


def column_names(text: TextFile, faults: Faults, usual: str) -> list[str]:
    """The names in the first row, at the delimiter that gives most of them; none of an empty table."""
    lines = Lines(text.lines())
    said = _said(lines)
    return _header(Parser(lines, said or usual, usual != "\t"), said, (), faults, text) or []


def _said(lines: Lines) -> str | None:
    """Take a first line that says the delimiter."""
    said = said_in(lines.peek() or "")
    if said is not None:
        next(lines)
    return said


def _header(
    parser: Parser, said: str | None, wanted: Sequence[str], faults: Faults, text: TextFile
) -> list[str] | None:
    """Read the columns' names; without a delimiter that was said, the parser gets the one at which they are right.

    If none is wanted, it is the one that gives most of them, and the names are all that is read.
    """
    usual = parser.delimiter
    tried: dict[str, Parsed] = {}
    for delimiter in dict.fromkeys([usual, *NAMES]):
        parser.delimiter = delimiter
        row = next(parser, None)
        if row is None:
            return None
        if (problem := text.undecoded("".join(row.lines))) is not None:
            raise faults.refusal(str(row.number), problem)
        if not row.error and columns.find(wanted, row.fields) and (said is None or delimiter == said):
            if delimiter != usual:
                faults.note(f"its fields are separated by {delimiter!r}")
            return row.fields
        tried[delimiter] = row
        parser.give_back(row)
    likely = max(tried, key=lambda delimiter: (len(tried[delimiter].fields), delimiter == usual))
    row = tried[usual if said is not None else likely]
    if not wanted:
        return row.fields
    if row.error:
        raise DataError(f"{faults.table}: the header in line {row.number} breaks off ({row.error}); correct it there.")
    columns.require(
        wanted,
        row.fields,
        faults.table,
        hint=_hint(row, wanted, said, likely, parser.quoting, text),
        otherwise="If its first line is a row, put a line with the columns' names before it.",
    )
    raise AssertionError("a header that holds the columns was taken")


def _hint(row: Parsed, wanted: Sequence[str], said: str | None, likely: str, quoting: bool, text: TextFile) -> str:
    """What is wrong with a header that lacks a column, as far as it shows."""
    if not quoting and any(_QUOTED.fullmatch(name) for name in row.fields):
        return "The header stands in quotation marks: write data.source.quoting: true."
    if (glued := next((name for name in row.fields if _holds_all(name, wanted)), None)) is not None:
        return _not_separated(glued, wanted, row.lines[0])
    if said is not None and likely != said:
        return f"The header looks separated by {likely!r}, but data.source.delimiter or its first line says {said!r}."
    if any("\0" in name for name in row.fields):
        cure = "write data.source.encoding: utf-16-le, or utf-16-be" if text.said is None else "correct its encoding"
        return f"It holds zero bytes: if the file is UTF-16 or UTF-32, {cure}."
    if text.said is not None:
        return f"It was read as {text.said}, as data.source.encoding says."
    return ""


def _holds_all(name: str, wanted: Sequence[str]) -> bool:
    for wish in sorted(set(wanted), key=len, reverse=True):
        if wish not in name:
            return False
        name = name.replace(wish, "", 1)
    return len(set(wanted)) > 1


def _not_separated(name: str, wanted: Sequence[str], line: str) -> str:
    """What to do about one name that holds those of all columns that are wanted."""
    if line.strip() == f'"{name}"':
        return "The whole line stands in quotation marks, so that it is one field: take them away, in all lines."
    behind = (name.partition(wish)[2].lstrip(" ")[:1] or name.partition(wish)[2][:1] for wish in wanted)
    between = next((letter for letter in behind if letter and not letter.isalnum() and letter != '"'), None)
    if between is None:
        return "Its names are not separated: put one character between them, such as a comma."
    return f"If {between!r} separates its fields, write data.source.delimiter: {between!r}."


@dataclass
class _Rows:
    """The rows under the header."""

    parser: Parser
    header: list[str]
    source: TableSource
    faults: Faults
    text: TextFile
    _known: set[str] | None = None
    _several: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._noticed: dict[str, list[int]] = {_UNPADDED: [], _PADDED: [], _IN_QUOTES: []}
        self._uneven = Uneven(self.header, self.parser.delimiter, self.parser.quoting)

    def read(self, wanted: Sequence[str]) -> Iterator[Record]:
        positions = columns.require(wanted, self.header, self.faults.table)
        label = positions[self.source.label]
        rows = doubtful = 0  # the last line of a stretch in which quotation marks do not match
        for row in self.parser:
            if (row.error or len(row.fields) != len(self.header)) and line_ends.holds_returns(row.lines[0]):
                self.parser.give_back(row, keep=1)
                inside = line_ends.rows_in(row.lines[0], self.parser, len(self.header))
                yield from line_ends.records(str(row.number), (_values(each, positions) for each in inside))
                continue
            rows += 1
            problem, aside = self._problem(row, label, doubtful), ""
            if row.error:
                if not self.faults.skip:
                    raise DataError(f"{self.faults.table}: {row.error}.")
                doubtful = max(doubtful, row.number + len(row.lines) - 1)
                self.parser.give_back(row, keep=1)
            elif problem is not None:
                # Without quoting, a text of several lines falls into pieces; the last may look like a whole row.
                cut = len(row.fields) < len(self.header) and (row.fields[-1][:1] == '"' or row.number <= doubtful)
                if cut and self.source.quoting is None and not self.parser.quoting:
                    doubtful = row.number + 1
            else:
                self._notice(row)
                if not any(value.strip() for value in row.fields):
                    aside = "every field is empty"
            yield Record(str(row.number), _values(row, positions), problem=problem, aside=aside)
        self._uneven.check(rows, self.faults.table)
        self._tell()

    def _problem(self, row: Parsed, label: int, doubtful: int) -> Problem | None:
        if row.error:
            return self._mismatch(row)
        if (inside := self._row_inside(row, label)) is not None:
            return self._mismatch(row, inside)
        if row.number <= doubtful and '"' in row.lines[0]:
            return Problem("quotation marks that do not match here or shortly before", "close or double them")
        for offset, line in enumerate(row.lines):
            if (problem := self.text.undecoded(line)) is not None:
                return problem._replace(place=str(row.number + offset))
        if len(row.fields) == len(self.header):
            return None
        return self._uneven.problem(row, behind=next(reversed(self._noticed[_PADDED]), None))

    def _mismatch(self, row: Parsed, inside: int | None = None) -> Problem:
        cure = "write it doubled or close it, or set data.source.quoting: false if quotation marks belong to the texts"
        if row.error == BLANK_BEHIND:
            cure = "delete it"
        if inside is not None:
            last = row.number + len(row.lines) - 1
            row.fields = row.lines[0].rstrip("\r\n").split(self.parser.delimiter)
            row.error = (
                f"lines {row.number} to {last} would be one row, since a quotation mark opens in the first, but "
                f"line {inside} looks like a row of its own; {cure}, or true if the line breaks are meant"
            )
        else:
            row.error = f"the row that starts in line {row.number} breaks off ({row.error}); look there: {cure}"
        return Problem("quotation marks that do not match", cure)

    def _row_inside(self, row: Parsed, label: int) -> int | None:
        """The line inside a row that is a row too, with a known label; none if quoting was said to be meant.

        A quotation mark that opens one text and another that ends a later one swallow all rows between them, in
        perfect form. Lines of a text rarely have as many fields as the table, with a label of other rows at its place.
        """
        if len(row.lines) == 1 or self.source.quoting:
            return None
        for offset, line in enumerate(row.lines):
            fields = line.rstrip("\r\n").split(self.parser.delimiter)
            if len(fields) != len(self.header) or fields[label] not in self._known_labels(label):
                continue
            # In the first and the last line only what stands between the quotation marks is evidence.
            marked = [at for at, value in enumerate(fields) if value.count('"') % 2]
            if (offset == 0 and label <= marked[-1]) or (offset == len(row.lines) - 1 and label >= marked[0]):
                continue
            return row.number + offset
        return None

    def _known_labels(self, label: int) -> set[str]:
        """The labels of all rows that take one line; read once, and only if a row takes several."""
        if self._known is None:
            again = Parser(Lines(self.text.lines()), self.parser.delimiter, self.parser.quoting)
            self._known = set()
            for row in again:
                if row.error:
                    again.give_back(row, keep=1)
                elif len(row.lines) == 1 and len(row.fields) == len(self.header) and row.fields[label].strip():
                    self._known.add(row.fields[label])
        return self._known

    def _notice(self, row: Parsed) -> None:
        if len(row.lines) > 1:
            self._several.append((row.number, row.number + len(row.lines) - 1))
        if row.unpadded:
            self._noticed[_UNPADDED].append(row.number)
        if row.padded:
            self._noticed[_PADDED].append(row.number)
        if self.source.quoting is None and not self.parser.quoting and any(map(_QUOTED.fullmatch, row.fields)):
            self._noticed[_IN_QUOTES].append(row.number)

    def _tell(self) -> None:
        if self._several:
            first, last = self._several[0]
            count = sum(last - first + 1 for first, last in self._several)
            self.faults.note(
                f"{len(self._several)} of its rows run over several lines, {count} in all, as quotation marks say "
                f"(the first over lines {first} to {last})"
            )
        for sentence, lines in self._noticed.items():
            if lines:
                self.faults.note(sentence.format(count=len(lines), first=lines[0]))


def _values(row: Parsed, positions: Mapping[str, int]) -> dict[str, object]:
    return {name: row.fields[at] for name, at in positions.items() if at < len(row.fields)}
