"""Reads and writes Java's properties files, as ``java.util.Properties.load`` does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from marwright.formats.utf16 import escaped, joined

# Java's line ends and blanks, which are fewer than Python's.
_LINE_END = re.compile(r"\r\n|\r|\n")
_LAST_CONTINUED = re.compile(r"(?<=\\)(\r\n|\r|\n)\Z")
_BLANKS = " \t\f"
_BYTE_ORDER_MARK = "\ufeff"
# A first line that is neither empty nor a comment; to Java a comment behind the mark is none, and may go on.
_SETTING_FIRST = re.compile(r"[ \t\f]*(?:[^#!\s]|[#!].*\\(?:\r|\n))")
_KEY = re.compile(r"(?:\\.|[^\\=: \t\f])*", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_LETTERS = {character: letter for letter, character in _ESCAPED.items()}
# What TorchServe's ConfigManager replaces in a value by a variable of the environment, by its name.
VARIABLE = re.compile(r"\$\$([^$]{2,})\$\$")


@dataclass(frozen=True)
class JavaProperties:
    """What a properties file says: values as Java has them (blanks at their end stay), and the line of each key.

    Of a key that stands there several times the last one counts; ``twice`` names those keys. ``not_ascii`` names those
    whose lines have characters beyond ASCII.
    """

    values: Mapping[str, str]
    lines: Mapping[str, int]
    twice: tuple[str, ...]
    not_ascii: tuple[str, ...] = ()


def read_properties(data: bytes) -> JavaProperties:
    """Parse a properties file.

    A key ends at the first ``=``, ``:`` or blank; a line that begins with ``#`` or ``!`` is a comment; a backslash at a
    line's end goes on in the next one. Bytes are UTF-8, as people write them, or else Latin-1, as Java reads them.

    Raises:
        ValueError: Java would refuse the file, or it is no text; the message names the line.
    """
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    twice, not_ascii = [], []
    text = _decoded(data)
    for number, line in _logical_lines(text):
        try:
            key, value = _divided(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if key in values:
            twice.append(key)
        if not line.isascii():
            not_ascii.append(key)
        values[key], lines[key] = value, number
    return JavaProperties(values, lines, tuple(twice), tuple(not_ascii))


def _decoded(data: bytes) -> str:
    if b"\0" in data:
        raise ValueError("not a properties file; it has null bytes, as UTF-16 has: save it as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
    if text.startswith(_BYTE_ORDER_MARK):
        text = text.removeprefix(_BYTE_ORDER_MARK)
        # Java takes the mark for the first letters of a key. No harm is done where they stand before no setting.
        if _SETTING_FIRST.match(text):
            raise ValueError("line 1: saved with a byte order mark, which hides its first key: save as UTF-8 without")
    return text


def write_properties(values: Mapping[str, str]) -> str:
    """Write settings so that Java reads them back: one line each, ``key=value``, in ASCII.

    A reader that splits lines at ``=`` alone, as TorchServe's Python side does, understands them too.
    """
    return "".join(f"{_escaped(key, '=: #!')}={_escaped(value, '')}\n" for key, value in values.items())


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, without blanks at their start; a backslash at the end goes on in the next one."""
    first, gathered, rest = 0, "", ""
    for number, line in enumerate(_LINE_END.split(_LAST_CONTINUED.sub("", text)), 1):
        rest = line.lstrip(_BLANKS)
        if not gathered:
            if not rest or rest[0] in "#!":
                continue
            first = number
        gathered += rest
        if (len(gathered) - len(gathered.rstrip("\\"))) % 2:
            gathered = gathered[:-1]
            continue
        yield first, gathered
        gathered = ""
    if gathered or rest == "\\":  # to Java a backslash alone at the very end is a line
        yield first, gathered


def _divided(line: str) -> tuple[str, str]:
    match = _KEY.match(line)
    end = match.end() if match else 0
    rest = line[end:].lstrip(_BLANKS)
    if rest.startswith(("=", ":")):
        rest = rest[1:].lstrip(_BLANKS)
    return _unescaped(line[:end]), _unescaped(rest)


def _unescaped(text: str) -> str:
    """Without backslashes, which stand before any character in files that Java has written."""

    def plain(match: re.Match[str]) -> str:
        if match[2] == "u":
            raise ValueError(r"\u is not followed by four hexadecimal digits, and Java refuses the whole file")
        return chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2], match[2])

    # Characters beyond 16 bits are written as two escapes.
    return joined(_ESCAPE.sub(plain, text))


def _escaped(text: str, special: str) -> str:
    # A blank at the start would be skipped.
    first = "\\" if text.startswith(" ") and " " not in special else ""
    return first + "".join(_written(one, special) for one in text)


def _written(character: str, special: str) -> str:
    if character in _LETTERS:
        return f"\\{_LETTERS[character]}"
    if character == "\\" or character in special:
        return f"\\{character}"
    return character if " " <= character <= "~" else escaped(character)
