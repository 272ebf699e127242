"""What separates the fields of a csv or tsv."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a |"}
"""Those that are looked for, in words."""

BY_SUFFIX = {".csv": ",", ".tsv": "\t"}
"""The usual one of each kind."""

_SAID = re.compile(r'"?sep=(.)"?[,;|\t ]*', re.IGNORECASE)


def said_in(first: str) -> str | None:
    """The delimiter that a first line ``sep=;`` says, as spreadsheets write it; None if it is another line."""
    found = _SAID.fullmatch(first.rstrip("\r\n"))
    return found[1] if found else None


def likely(header: str, usual: str) -> str:
    """The delimiter that a header has most often, the usual one of equals."""
    return max(NAMES, key=lambda each: (header.count(each), each == usual))


def header_and_delimiter(lines: Iterator[str], suffix: str) -> tuple[str, str, int]:
    """Take the header's first line; and the line before it, where that says the delimiter.

    Returns:
        the header's line, the delimiter, which of a csv is the likely one if nothing says it, and how many lines
        stand before.
    """
    first, usual = next(lines, ""), BY_SUFFIX[suffix]
    if (said := said_in(first)) is not None:
        return next(lines, ""), said, 1
    return first, "\t" if usual == "\t" else likely(first, usual), 0


def is_quoted(suffix: str) -> bool:
    """Whether quotation marks hold fields together; in a tsv they belong to the texts."""
    return suffix != ".tsv"


def reader(lines: Iterable[str], delimiter: str, suffix: str, *, strict: bool = False) -> Any:
    """Python's own reader, of fields of any length."""
    csv.field_size_limit(sys.maxsize)
    if is_quoted(suffix):
        return csv.reader(lines, delimiter=delimiter, strict=strict)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
