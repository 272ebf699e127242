"""Reads text files of names in named lists."""

from __future__ import annotations

from pathlib import Path


def word_lists(file: Path) -> dict[str, frozenset[str]]:
    """The words of each list.

    A list begins with its name and a colon at the start of a line, and may go on over several lines. Lines that begin
    with ``#`` are comments.
    """
    found: dict[str, set[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        words = [] if line.startswith("#") else line.split()
        if words and words[0].endswith(":"):
            own = found.setdefault(words.pop(0)[:-1], set())
        if words:
            own.update(words)
    return {name: frozenset(words) for name, words in found.items()}
