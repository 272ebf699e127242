"""Reads JSON as Gson does for TorchServe: names and texts may have single quotes or none, and there are comments."""

from __future__ import annotations

import json
import re
from typing import Any

from marwright.formats.utf16 import joined

_SKIPPED = re.compile(r"(?:\s|//[^\r\n]*|#[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_BARE = re.compile(r"[^/\\;#={}\[\]:,\s\"']+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f"}
_DEEPEST = 20


def read_lenient_json(text: str, *, maps: int = 0) -> Any:
    """Parse a text that holds one value; ``None`` for an empty one, as Gson has it.

    In so many levels of ``maps`` of Java's each name may stand once; below them the last one counts.

    Raises:
        ValueError: Gson would refuse it; the message says where.
    """
    reader = _Reader(text, maps)
    reader.skip()
    if reader.is_at_end:
        return None
    value = reader.value(0)
    reader.skip()
    if not reader.is_at_end:
        raise reader.error("something stands behind its end")
    return value


class _Reader:
    def __init__(self, text: str, maps: int) -> None:
        self._text, self._maps, self._at = text, maps, 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._text)

    def error(self, what: str) -> ValueError:
        return ValueError(f"{what} at character {self._at + 1}")

    def skip(self) -> None:
        match = _SKIPPED.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise self.error("objects are nested too deeply")
        if self._took("{"):
            return self._object(depth)
        if self._took("["):
            return self._list(depth)
        text, is_quoted = self._scalar()
        if is_quoted:
            return text
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        return json.loads(text) if _NUMBER.fullmatch(text) else text

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._took("}"):
            return found
        while True:
            self.skip()
            name, _ = self._scalar()
            if name in found and depth < self._maps:
                raise self.error(f"{name[:60]} stands there twice")
            if self._took("="):
                self._took(">")
            elif not self._took(":"):
                raise self.error("a colon is missing")
            found[name] = self.value(depth + 1)
            if self._took("}"):
                return found
            self._require_comma()

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while not self._took("]"):
            found.append(self.value(depth + 1))
            if self._took("]"):
                return found
            self._require_comma()
        return found

    def _require_comma(self) -> None:
        if not (self._took(",") or self._took(";")):
            raise self.error("a comma is missing")

    def _scalar(self) -> tuple[str, bool]:
        """A name or a value, and whether it stands in quotes."""
        self.skip()
        for pattern in (_QUOTED, _BARE):
            if match := pattern.match(self._text, self._at):
                self._at = match.end()
                return (_unescaped(match[0][1:-1]), True) if pattern is _QUOTED else (match[0], False)
        raise self.error("a name or a value is missing")

    def _took(self, sign: str) -> bool:
        self.skip()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        return True


def _unescaped(text: str) -> str:
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2], match[2]), text)
    return joined(plain)
