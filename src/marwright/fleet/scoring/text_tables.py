"""csv, tsv and jsonl: a block is a range of bytes; a row that cannot be read has its error and stops no other."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from marwright.errors import DataError
from marwright.fleet.scoring.blocks import Source, Span
from marwright.fleet.scoring.lines import BLANK, CHUNK
from marwright.formats.delimiters import BY_SUFFIX, likely, said_in

JSON = "json"
"""The type of a column whose values are kept as JSON."""
LONGEST = 80
"""Bytes of a row that its error quotes."""
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


@dataclass
class Rows:
    """The rows of a block."""

    table: Any
    """A ``pyarrow.Table`` of all columns."""
    problems: dict[int, str] = field(default_factory=dict)
    """Why rows cannot be scored, by their places in the block."""


def header_of(stream: BinaryIO, place: str, suffix: str) -> tuple[list[str], str]:
    """The columns of a csv or tsv, and its delimiter; the stream is then behind its header.

    Raises:
        DataError: it is not UTF-8, has no header, or a name twice.
    """
    csv.field_size_limit(sys.maxsize)
    head = stream.read(CHUNK)
    if head.startswith(_MARKS):
        raise DataError(f"{place}: is UTF-16; save it as UTF-8.")
    at = len(_BOM) if head.startswith(_BOM) else 0
    lines = io.BytesIO(head[at:])
    first = lines.readline().decode("utf-8", "replace")
    said = said_in(first)
    if said is not None:
        at += lines.tell()
        first = lines.readline().decode("utf-8", "replace")
    usual = BY_SUFFIX[suffix]
    delimiter = said or (usual if usual == "\t" else likely(first, usual))
    body = io.BytesIO(head[at:])
    reader = _reader((line.decode("utf-8", "replace") for line in body), delimiter)
    try:
        names: list[str] = next(reader, [])
    except csv.Error as error:
        cause = "a carriage return ends its line; save it with line ends LF or CRLF" if b"\r" in head else str(error)
        raise DataError(f"{place}: its header cannot be read: {cause}.") from error
    if not names:
        raise DataError(f"{place}: is empty; its first line must name the columns.")
    again = io.BytesIO(head[at:])
    at += sum(len(again.readline()) for _ in range(reader.line_num))
    stream.seek(at)
    return names, delimiter


def _reader(lines: Iterable[str], delimiter: str) -> Any:
    # A tsv has no quotation marks but those of its texts.
    if delimiter == "\t":
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter)


def separated_rows(data: bytes, source: Source) -> Rows:
    """The rows of a csv or tsv; every column is text, as it stands there."""
    import pyarrow

    csv.field_size_limit(sys.maxsize)
    names = [name for name, _ in source.columns]
    last = b""

    def lines() -> Iterator[str]:
        nonlocal last
        for last in io.BytesIO(data):
            yield last.decode("utf-8", "surrogateescape")

    reader = _reader(lines(), source.delimiter)
    rows: list[list[str | None]] = []
    problems: dict[int, str] = {}
    while True:
        try:
            row: list[str | None] = list(next(reader))
        except StopIteration:
            break
        except csv.Error as error:
            row = [None]
            cause = "it has a carriage return outside of quotation marks" if b"\r" in last else str(error)
            problems[len(rows)] = f"The row cannot be read: {cause}: {last[:LONGEST].decode('utf-8', 'replace')!r}"
        if not row and last in BLANK:
            continue
        if len(row) != len(names):
            problems.setdefault(len(rows), f"The row has {len(row)} fields instead of {len(names)}")
            row = [*row, *[None] * len(names)][: len(names)]
        rows.append(row)
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    arrays = [_texts(list(column), problems) for column in columns]
    return Rows(pyarrow.table(arrays, names=names), problems)


def _texts(values: list[Any], problems: dict[int, str]) -> Any:
    """A column of texts; those that are no Unicode are kept as far as they are."""
    import pyarrow

    with suppress(UnicodeEncodeError):
        return pyarrow.array(values, pyarrow.string())
    for at, value in enumerate(values):
        if value is not None and any("\ud800" <= one <= "\udfff" for one in value):
            problems.setdefault(at, "The row is not valid UTF-8")
            values[at] = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return pyarrow.array(values, pyarrow.string())


# --- jsonl ------------------------------------------------------------------------------------------------------


class JsonColumns:
    """The columns of jsonl and their types, which only all of its lines together tell."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._types: dict[str, set[str]] = {}

    def look(self, lines: bytes) -> None:
        """Note the types in some lines."""
        import pyarrow
        from pyarrow import json as arrow_json

        reading = arrow_json.ReadOptions(use_threads=False, block_size=max(len(lines), 1))
        try:
            schema = arrow_json.read_json(io.BytesIO(lines), read_options=reading).schema
        except pyarrow.ArrowException:
            # A line that is no object, or types that differ from line to line.
            for value in _objects(io.BytesIO(lines)):
                for name, one in (value or {}).items():
                    self._types.setdefault(name, set()).add(_TYPES.get(type(one), JSON))
        else:
            for one in schema:
                # It takes dates in strings for dates.
                kind = "string" if pyarrow.types.is_timestamp(one.type) else str(one.type)
                self._types.setdefault(one.name, set()).add(kind)

    def found(self) -> tuple[tuple[str, str], ...]:
        """Names and types: string, int64, double, bool, or JSON for what differs or is nested."""
        return tuple((name, self._type(name, kinds - {"null"})) for name, kinds in self._types.items())

    def _type(self, name: str, kinds: set[str]) -> str:
        if name in self._texts or not kinds:
            return "string"
        if kinds == {"int64", "double"}:
            return "double"
        return next(iter(kinds)) if len(kinds) == 1 and kinds <= set(_TYPES.values()) else JSON


_TYPES: dict[type, str] = {str: "string", int: "int64", float: "double", bool: "bool", type(None): "null"}


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any] | None]:
    """The object of each line that is not blank; none where it is something else."""
    for line in lines:
        if line not in BLANK:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            yield value if isinstance(value, dict) else None


def json_rows(data: bytes, source: Source, texts: Sequence[str]) -> Rows:
    """The rows of jsonl."""
    import pyarrow

    problems: dict[int, str] = {}
    objects: list[dict[str, Any]] = []
    for value in _objects(io.BytesIO(data)):
        if value is None:
            problems[len(objects)] = "The line is not a JSON object"
        objects.append(value or {})
    arrays = []
    for name, kind in source.columns:
        values = [one.get(name) for one in objects]
        if name in texts:
            for at, value in enumerate(values):
                if value is not None and not isinstance(value, str):
                    problems.setdefault(at, f"{name} must be a string")
                    values[at] = _json(value)
        if kind in ("string", JSON):
            arrays.append(_texts([_json(one) if kind == JSON else one for one in values], problems))
            continue
        try:
            arrays.append(pyarrow.array(values, pyarrow.type_for_alias(kind)))
        except (pyarrow.ArrowException, OverflowError):
            arrays.append(pyarrow.array([_fitting(one, kind, at, name, problems) for at, one in enumerate(values)]))
    return Rows(pyarrow.table(arrays, names=[name for name, _ in source.columns]), problems)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _fitting(value: Any, kind: str, at: int, name: str, problems: dict[int, str]) -> Any:
    """The value as a scalar of a type; none if it does not fit, as a whole number beyond 64 bits."""
    import pyarrow

    try:
        return pyarrow.scalar(value, pyarrow.type_for_alias(kind))
    except (pyarrow.ArrowException, OverflowError):
        problems.setdefault(at, f"{name} does not fit into {kind}")
        return pyarrow.scalar(None, pyarrow.type_for_alias(kind))


def read_bytes(stream: BinaryIO, span: Span) -> bytes:
    """The bytes of a span."""
    stream.seek(span.start)
    return stream.read(span.stop - span.start)
