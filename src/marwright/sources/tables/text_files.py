"""A text file as lines: its encoding, its line ends, and what cannot be decoded."""

from __future__ import annotations

import codecs
import gzip
import io
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marwright.errors import DataError
from marwright.formats.signatures import GZIP
from marwright.formats.utf16 import HALVES
from marwright.sources.tables.encoding_evidence import doubts, evidence, word_at
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.records import Problem

_HEAD = 1 << 16
# The longer mark first: that of UTF-16 begins that of UTF-32.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def _keep(error: UnicodeError) -> tuple[str, int]:
    """Like "surrogateescape", but for every encoding: half a surrogate pair stands for each undecodable byte."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("marwright-keep", _keep)


def unpacked(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """The bytes of a file, without the compression of gzip if it has that."""
    with path.open("rb") as file:
        compressed = file.read(len(GZIP)) == GZIP
    return gzip.open(path) if compressed else path.open("rb")


class TextFile:
    """A text file, plain or compressed by gzip, in an encoding that was said; or what its first bytes say, or UTF-8.

    Raises:
        DataError: its first bytes contradict the encoding.
    """

    def __init__(self, path: Path, said: str | None, faults: Faults) -> None:
        self.path = path
        self.said = said
        self._faults = faults
        self._cure = ""
        self._told_of_marks = False
        with _whole(faults.table), unpacked(path) as file:
            head = file.read(_HEAD)
        mark = next((mark for mark in _MARKS if head.startswith(mark)), None)
        if said is not None:
            self.encoding = said
            if mark is None and codecs.lookup(said).name in ("utf-16", "utf-32"):
                raise DataError(
                    f"{faults.table}: has no byte order mark; write data.source.encoding: {said}-le, or {said}-be, or "
                    "leave the setting out."
                )
            if mark is not None and not codecs.lookup(said).name.startswith(_MARKS[mark]):
                raise DataError(
                    f"{faults.table}: begins with the mark of {_MARKS[mark].upper()}, but data.source.encoding is "
                    f"{said}; leave the setting out."
                )
        elif mark is not None:
            self.encoding = _MARKS[mark]
        elif (guessed := _without_mark(head)) is not None:
            self.encoding = guessed
            faults.note(f"has no byte order mark and was read as {guessed}")
        else:
            self.encoding = "utf-8"
        self._doubt_what_was_said()

    def _doubt_what_was_said(self) -> None:
        name = codecs.lookup(self.said or "utf-8").name
        doubt = "" if name.startswith("utf") else doubts(evidence(self._lines("latin-1")), str(self.said), name)
        if doubt:
            self._faults.note(doubt)

    def lines(self) -> Iterator[str]:
        """The lines with their ends. ``\\r`` ends lines only in a file whose first line it ends."""
        inside = []
        for number, line in enumerate(self._lines(self.encoding), 1):
            if line[:1] == "\ufeff":
                if number > 1:
                    inside.append(number)
                yield line[1:]
            else:
                yield line
        if inside and not self._told_of_marks:
            self._told_of_marks = True
            self._faults.note(
                f"{len(inside)} of its lines (first line {inside[0]}) begin with a byte order mark, as where files "
                "were appended; it was read as no part of them"
            )

    def _lines(self, encoding: str) -> Iterator[str]:
        with _whole(self._faults.table), self._text(encoding, "") as file:
            newline = "" if file.readline().endswith("\r") else "\n"
        with _whole(self._faults.table), self._text(encoding, newline) as file:
            yield from file

    def undecoded(self, line: str) -> Problem | None:
        """What is wrong with a line that holds bytes which are not of the encoding."""
        if line.isascii() or (found := HALVES.search(line)) is None:  # most lines are decided by the first
            return None
        self._cure = self._cure or self._advice(line, found.start())
        return Problem(f"bytes that are not {self.encoding.upper()}", self._cure)

    def _advice(self, line: str, position: int) -> str:
        if self.said is not None:
            return "correct data.source.encoding"
        if self.encoding != "utf-8":
            return "the file is damaged there: get it again, or save it as UTF-8"
        part = word_at(line, position)
        try:
            read = part.encode("utf-8", "surrogateescape").decode("cp1252")
        except UnicodeError:
            read = ""
        found = evidence(self._lines("latin-1"))
        if found.is_mixed and found.first is not None:
            return (
                f"other lines are UTF-8 (line {found.first[0]} first), so the file holds two encodings: write these as "
                f"UTF-8 too{f'; as cp1252 the first of them would read {read!r}' if read else ''}"
            )
        if not read:
            return "save the file as UTF-8, or name its encoding in data.source.encoding, such as cp1251 or shift_jis"
        return (
            f"save the file as UTF-8, or name its encoding: with data.source.encoding: cp1252 the first would read "
            f"{read!r}; if that is wrong, it is another, such as cp1251 or shift_jis"
        )

    def _text(self, encoding: str, newline: str) -> io.TextIOWrapper:
        return io.TextIOWrapper(unpacked(self.path), encoding=encoding, errors="marwright-keep", newline=newline)


@contextmanager
def _whole(table: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{table}: its compression is damaged ({error}); get the file again.") from error
    except UnicodeError as error:
        raise DataError(f"{table}: cannot be decoded ({error}); correct data.source.encoding.") from error


def _without_mark(head: bytes) -> str | None:
    """UTF-16 or UTF-32 if the bytes are sensible text in exactly one of them; UTF-8 tables hold no zero bytes."""
    if b"\0" not in head:
        return None
    sensible = [name for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be") if _is_sensible(head, name)]
    return sensible[0] if len(sensible) == 1 else None


def _is_sensible(head: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        return False
    strange = any(unicodedata.category(letter) in ("Cc", "Cn", "Co") for letter in set(text) - set("\t\r\n"))
    return not strange and ("\n" in text or "\r" in text)
