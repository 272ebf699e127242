"""Reads the arguments of a pickle's opcodes, and keeps no more of them than a name can be long."""

from __future__ import annotations

import io
import pickletools
from typing import Any, BinaryIO

from marwright.checks.budget import Budget

# No module or class has a longer name.
LONGEST_STRING = 1024
# Bytes of all strings of a pickle that are kept: what is imported after that has no name.
_MOST_KEPT = 32 << 20
# Python takes no number of more digits.
_LONGEST_LINE, _LINE = 4400, 1 << 16
_WIDTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: (1, False),
    pickletools.TAKEN_FROM_ARGUMENT4: (4, True),
    pickletools.TAKEN_FROM_ARGUMENT4U: (4, False),
    pickletools.TAKEN_FROM_ARGUMENT8U: (8, False),
}


class Malformed(Exception):
    """What any unpickler would stop at."""


class Opaque:
    """A value of which nothing is known."""


OPAQUE = Opaque()


class Arguments:
    """The arguments in a stream of ``size`` bytes, which stands behind an opcode whenever one is read.

    ``budget`` pays for what is passed over; ``strings`` gets those that are written as operators are, ``aten::add``.
    """

    def __init__(self, stream: BinaryIO, budget: Budget, size: int, strings: set[str]) -> None:
        self._stream, self._budget, self._size, self._strings = stream, budget, size, strings
        self._kept = 0

    def read(self, kind: Any) -> Any:
        """Read an argument of a kind, which is an ``ArgumentDescriptor`` of ``pickletools``, or None.

        Raises:
            Malformed: it is not there, or not of that kind.
        """
        if kind is None:
            return None
        if kind.n >= 0:
            return kind.reader(io.BytesIO(self._exactly(kind.n)))
        return self._line_of(kind.name) if kind.n == pickletools.UP_TO_NEWLINE else self._counted(kind)

    def _counted(self, kind: Any) -> Any:
        """An argument that begins with its length; those that are too long to be a name are passed over."""
        width, signed = _WIDTHS[kind.n]
        length = int.from_bytes(self._exactly(width), "little", signed=signed)
        if length < 0 or length > self._size - self._stream.tell():
            raise Malformed
        self._kept += length
        if length > LONGEST_STRING or self._kept > _MOST_KEPT:
            self._budget.spend(size=length)
            self._stream.seek(length, io.SEEK_CUR)
            return OPAQUE
        data = self._exactly(length)
        if kind.name.startswith("long"):
            return int.from_bytes(data, "little", signed=True)
        if kind.name.startswith("byte"):
            return OPAQUE
        return self._noted(data.decode("utf-8" if "unicode" in kind.name else "latin-1", "surrogatepass"))

    def _exactly(self, length: int) -> bytes:
        data = self._stream.read(length)
        if len(data) < length:
            raise Malformed
        return data

    def _line(self) -> str | Opaque:
        """Up to a line's end; lines that are too long to be a name are passed over."""
        line = self._stream.readline(_LINE)
        self._kept += len(line)
        whole = len(line) <= _LONGEST_LINE and self._kept <= _MOST_KEPT
        while line and not line.endswith(b"\n"):
            self._budget.spend(size=len(line))
            line = self._stream.readline(_LINE)
        if not line:
            raise Malformed
        return line[:-1].decode("utf-8", "surrogateescape") if whole else OPAQUE

    def _line_of(self, kind: str) -> Any:
        text = self._line()
        if kind == "stringnl_noescape_pair":
            return _name(text), _name(self._line())
        if kind.startswith("decimalnl"):
            return _number(text)
        if isinstance(text, Opaque) or kind == "floatnl":
            return OPAQUE
        if kind == "unicodestringnl":
            return self._noted(text.encode("utf-8", "surrogateescape").decode("raw-unicode-escape", "replace"))
        return self._noted(_unquoted(text)) if kind == "stringnl" else text

    def _noted(self, text: Any) -> Any:
        if isinstance(text, str) and "::" in text:
            self._strings.add(text)
        return text


def _name(text: str | Opaque) -> str | Opaque:
    """A module or what it has; bytes that are not UTF-8 are none to any unpickler, but are common in tensors."""
    if isinstance(text, str) and not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Malformed from None
    return text


def _number(text: Any) -> int:
    try:
        return int(text.removesuffix("L"))
    except (AttributeError, ValueError):
        raise Malformed from None


def _unquoted(text: str) -> Any:
    """What a string of the oldest protocol says; escapes may spell any name."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        raise Malformed
    try:
        return text[1:-1].encode("latin-1").decode("unicode-escape") if "\\" in text else text[1:-1]
    except UnicodeError:
        return OPAQUE
