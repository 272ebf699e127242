"""Characters in units of 16 bits, as JSON and Java's properties write them in ASCII."""

from __future__ import annotations

import re

HALVES = re.compile("[\ud800-\udfff]")
"""Halves of characters, which no text has: JSON can write one, and Python takes them for bytes that are not UTF-8."""


def joined(text: str) -> str:
    """A text whose halves of characters have become characters; a half that stands alone is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def escaped(character: str) -> str:
    """A character as ``\\uXXXX``, in units of 16 bits: two of them beyond the first 65,536 characters."""
    data = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(data[at : at + 2], 'big'):04x}" for at in range(0, len(data), 2))
