"""What separates the fields of a csv or tsv."""

from __future__ import annotations

import re

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
