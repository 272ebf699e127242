"""csv and tsv: a block is a range of bytes; a row that cannot be read has its error and stops no other."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO

from marwright.errors import DataError
from marwright.fleet.scoring.blocks import Source, Span
from marwright.fleet.scoring.columns import NOT_UTF8
from marwright.fleet.scoring.lines import BLANK, CHUNK
from marwright.fleet.scoring.other_formats import refuse_json, refuse_other_formats
from marwright.formats.delimiters import header_and_delimiter, reader
from marwright.formats.utf16 import HALVES

LONGEST = 80
"""Bytes of a row that its error quotes."""


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
        DataError: it is of another format, is not UTF-8, or has no header.
    """
    head = stream.read(CHUNK)
    refuse_other_formats(head, place)
    refuse_json(head, place)
    body = io.BytesIO(head)
    body.seek(len(BOM_UTF8) if head.startswith(BOM_UTF8) else 0)
    lines = (line.decode("utf-8", "replace") for line in body)
    header, delimiter, _ = header_and_delimiter(lines, suffix)
    try:
        names: list[str] = next(reader(chain([header], lines), delimiter, suffix), [])
    except csv.Error as error:
        cause = "a carriage return ends its line; save it with line ends LF or CRLF" if b"\r" in head else str(error)
        raise DataError(f"{place}: its header cannot be read: {cause}.") from error
    if any("\0" in name for name in names):
        raise DataError(f"{place}: its first line holds bytes that no text has; save it as a csv in UTF-8.")
    if not names:
        raise DataError(f"{place}: is empty; its first line must name the columns.")
    stream.seek(body.tell())
    return names, delimiter


def separated_rows(data: bytes, source: Source, texts: Sequence[str]) -> Rows:
    """The rows of a csv or tsv; every column is text, as it stands there, and those named ``texts`` are scored."""
    import pyarrow

    names = [name for name, _ in source.columns]
    last = b""

    def lines() -> Iterator[str]:
        nonlocal last
        for last in io.BytesIO(data):
            yield last.decode("utf-8", "surrogateescape")

    read = reader(lines(), source.delimiter, source.kind)
    rows: list[list[str | None]] = []
    problems: dict[int, str] = {}
    while True:
        try:
            row: list[str | None] = list(next(read))
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
    arrays = []
    for name, column in zip(names, columns, strict=True):
        array, damaged = text_array(list(column))
        arrays.append(array)
        if name in texts:
            problems = damaged | problems
    return Rows(pyarrow.table(arrays, names=names), problems)


def text_array(values: list[Any]) -> tuple[Any, dict[int, str]]:
    """A column of texts.

    Returns:
        the column, in which U+FFFD stands for what is no Unicode; and why some rows cannot be scored, by their places.
    """
    import pyarrow

    with suppress(UnicodeEncodeError):
        return pyarrow.array(values, pyarrow.string()), {}
    problems: dict[int, str] = {}
    for at, value in enumerate(values):
        if value is not None and HALVES.search(value):
            problems[at] = NOT_UTF8
            values[at] = HALVES.sub("\ufffd", value)
    return pyarrow.array(values, pyarrow.string()), problems


def read_bytes(stream: BinaryIO, span: Span) -> bytes:
    """The bytes of a span."""
    stream.seek(span.start)
    return stream.read(span.stop - span.start)
