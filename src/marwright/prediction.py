"""Texts from the command line, a stream or a file, through an archive's own handler: each gets an answer of its own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from marwright.errors import DataError
from marwright.formats.delimiters import header_and_delimiter, reader
from marwright.formats.utf16 import HALVES
from marwright.mar.abstention import abstains, probabilities_in
from marwright.mar.protocol import Body
from marwright.mar.reading import describe
from marwright.mar.worker import ArchiveWorker, message_in

BATCH = 16
COLUMN = "text"
# Files of these kinds hold texts, but none that can be read line by line.
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz")
_OTHERS = (".parquet", ".arrow", ".feather", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".json", ".mar", ".pt", ".pkl")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


@dataclass(frozen=True)
class Item:
    """One text to classify: the request's JSON, or what is wrong with it already; and its line where it has one."""

    text: str
    request: Mapping[str, Any] | None = None
    problem: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Prediction:
    """The labels of a text with their probabilities, best first; or the status and message of a refusal."""

    item: Item
    labels: Mapping[str, float] | None = None
    abstains: bool = False
    status: int = 200
    message: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same for a script: ``labels`` and ``abstains``, or ``error``; ``line`` for one out of a file."""
        where = {} if self.item.line is None else {"line": self.item.line}
        if self.labels is None:
            return {**where, "text": self.item.text, "error": {"code": self.status, "message": self.message}}
        return {**where, "text": self.item.text, "labels": dict(self.labels), "abstains": self.abstains}


def given(texts: Iterable[str]) -> Iterator[Item]:
    """The texts themselves."""
    return (Item(text, {"text": text}) for text in texts)


def lines_of(stream: BinaryIO, origin: str) -> Iterator[Item]:
    """One text per line of a stream; a line that is not UTF-8 is a problem of its own."""
    return some(_lines(stream), origin)


def fields_of(archive: Path) -> tuple[str, ...]:
    """The fields that a request may send in place of one text, where an archive has any.

    Raises:
        ArchiveError: it cannot be read.
    """
    setup = describe(archive)["setup"]
    text = setup.get("text") if isinstance(setup, dict) else None
    fields = text.get("fields") if isinstance(text, dict) else None
    return tuple(map(str, fields)) if isinstance(fields, list) else ()


def items_of(file: Path, column: str | None = None, fields: Sequence[str] = ()) -> Iterator[Item]:
    """The texts of a file, by its suffix: a column of a .csv or .tsv, .jsonl, or one text per line.

    A line of a .jsonl file is a text, or an object that is sent as the request it is.

    Args:
        file: where they are.
        column: with the texts; ``text`` or the only one if not given. Of an object in a .jsonl file, the key.
        fields: what the archive takes in place of one text: the columns of these names are sent, if there are any and
            no column is named.

    Raises:
        DataError: it cannot be read, has no such column or no text. Iterating raises it too.
    """
    suffix = file.suffix.lower()
    if suffix in _PACKED:
        raise DataError(f"{file}: unpack it first; texts are read from .csv, .tsv, .jsonl, or lines of text.")
    if suffix in _OTHERS:
        raise DataError(f"{file}: give its texts as .csv, .tsv, .jsonl, or as lines of text.")
    if column is not None and suffix not in (".csv", ".tsv", ".jsonl"):
        raise DataError(f"{file}: --column goes with a .csv, .tsv or .jsonl file; this one has a text on each line.")
    return some(_read(file, suffix, column, fields), str(file))


def _read(file: Path, suffix: str, column: str | None, fields: Sequence[str]) -> Iterator[Item]:
    try:
        with file.open("rb") as stream:
            if suffix in (".csv", ".tsv"):
                yield from _cells(stream, file, column, fields)
            elif suffix == ".jsonl":
                yield from (_parsed(item, column) for item in _lines(stream) if item.text.strip())
            else:
                yield from _lines(stream)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}.") from error


def predictions(worker: ArchiveWorker, items: Iterable[Item], top_k: int | None = None) -> Iterator[Prediction]:
    """Classify texts in batches, and yield their answers in the same order; one that is refused stops no other.

    Raises:
        ArchiveError: the worker died, was silent for too long, or answers with something else than labels.
    """
    extra = {} if top_k is None else {"top_k": top_k}
    items = iter(items)
    while batch := list(islice(items, BATCH)):
        sent = [{**item.request, **extra} for item in batch if item.request is not None]
        answers = iter(worker.answer([Body(json.dumps(one).encode()) for one in sent]) if sent else ())
        for item in batch:
            if item.request is None:
                yield Prediction(item, status=400, message=item.problem or "")
                continue
            answer = next(answers)
            if answer.status == 200:
                labels = worker.labels_in(answer.body)
                yield Prediction(item, probabilities_in(labels), abstains(labels))
            else:
                yield Prediction(item, status=answer.status, message=message_in(answer.body))


def some(items: Iterator[Item], origin: str) -> Iterator[Item]:
    """The same items.

    Raises:
        DataError: there are none.
    """
    first = next(items, None)
    if first is None:
        raise DataError(f"{origin}: no text in it.")
    return chain([first], items)


def _lines(stream: BinaryIO) -> Iterator[Item]:
    """Lines end at a line feed alone: a text may have any other separator in it."""
    for number, line in enumerate(_decoded(stream, newline="\n"), 1):
        yield _checked(line.removesuffix("\n").removesuffix("\r"), number)


def _decoded(stream: BinaryIO, newline: str) -> io.TextIOWrapper:
    """The characters of a stream; what is not UTF-8 becomes half characters, which a text has never."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[type-var]
    encoding = next((name for mark, name in _MARKS.items() if buffered.peek(3).startswith(mark)), "utf-8")
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    return io.TextIOWrapper(buffered, encoding, errors, newline)


def _checked(text: str, line: int) -> Item:
    if HALVES.search(text):
        return Item(text, None, "The text is not valid UTF-8", line)
    return Item(text, {"text": text}, None, line)


def _parsed(item: Item, column: str | None) -> Item:
    if item.problem is not None:
        return item
    try:
        value = json.loads(item.text)
    except (ValueError, RecursionError):
        return Item(item.text, None, "The line is not JSON", item.line)
    if isinstance(value, str):
        return Item(value, {"text": value}, None, item.line)
    if not isinstance(value, dict):
        return Item(item.text, None, 'The line must be a text or an object such as {"text": "..."}', item.line)
    if column is not None:
        value = {"text": value.get(column)}
    return Item(value["text"] if isinstance(value.get("text"), str) else item.text, value, None, item.line)


def _cells(stream: BinaryIO, file: Path, column: str | None, fields: Sequence[str]) -> Iterator[Item]:
    text, suffix = _decoded(stream, newline=""), file.suffix.lower()
    header, delimiter, before = header_and_delimiter(text, suffix)
    # Strict, or a quotation mark that nobody closes makes one text of all rows below it.
    rows = reader(chain([header], text), delimiter, suffix, strict=True)
    line = before + 1  # in which a row begins
    try:
        names: list[str] = next(rows, [])
        there = [name for name in fields if name in names] if column is None else []
        at = [names.index(name) for name in there] or [_place_of(column, names, file)]
        line += rows.line_num
        for row in rows:
            if row:
                yield _cell([row[place] if place < len(row) else None for place in at], there, line)
            line = before + rows.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{file}:{line}: the row that begins here cannot be read: {error}. "
            f"Close each quotation mark, and double those inside a quoted cell."
        ) from error


def _cell(values: Sequence[str | None], fields: Sequence[str], line: int) -> Item:
    given = [value for value in values if value is not None]
    if not given:
        return Item("", None, "The row has no such cell", line)
    item = _checked(" ".join(given), line)
    if fields and item.problem is None:
        return replace(
            item, request={name: value for name, value in zip(fields, values, strict=True) if value is not None}
        )
    return item


def _place_of(column: str | None, names: Sequence[str], file: Path) -> int:
    if column is None and len(names) == 1:
        return 0
    if (wanted := column or COLUMN) in names:
        return names.index(wanted)
    there = ", ".join(names) or "none"
    raise DataError(f"{file}: no column {wanted!r}; it has {there}. Name the one with the texts: --column.")
