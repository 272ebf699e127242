"""What the bytes of a text file say of its encoding, where a wrong one would ruin texts and show nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_CONTROL = re.compile("[\x80-\x9f]")
_WORD = re.compile(r"[^\s,;|]{1,40}")


@dataclass
class Evidence:
    """Lines beyond ASCII that are UTF-8, those that are not, and the first line of each kind, with its number.

    Lines are as latin-1 reads them: a character for each byte. ``control`` is the first with a byte from 80 to 9F,
    which ISO 8859 takes for a control character and Windows for a letter or a mark.
    """

    utf8: int = 0
    others: int = 0
    first: tuple[int, str] | None = None
    control: tuple[int, str] | None = None

    @property
    def is_mixed(self) -> bool:
        """Whether many lines are UTF-8; a few may be by chance, short ones in Chinese for example."""
        return self.utf8 > 0 and 2 * self.utf8 >= self.others


def evidence(lines: Iterable[str]) -> Evidence:
    """Look at all lines; they are as latin-1 reads them."""
    found = Evidence()
    for number, line in enumerate(lines, 1):
        if line.isascii():
            continue
        try:
            line.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            found.others += 1
            if found.control is None and _CONTROL.search(line):
                found.control = number, line
        else:
            found.utf8 += 1
            found.first = found.first or (number, line)
    return found


def doubts(found: Evidence, said: str, encoding: str) -> str:
    """Why an encoding that was said, to Python ``encoding``, is probably wrong; nothing where it may be right."""
    if found.first is not None:
        number, line = found.first
        word = word_at(line, next(at for at, letter in enumerate(line) if not letter.isascii())).encode("latin-1")
        return (
            f"{found.utf8} of its {found.utf8 + found.others} lines that are not ASCII are UTF-8 too (first line "
            f"{number}): data.source.encoding: {said} reads {word.decode(encoding, 'replace')!r} there, UTF-8 "
            f"{word.decode('utf-8', 'replace')!r}; if that is right, "
            + ("write these lines in one encoding with the others" if found.others else "leave the setting out")
        )
    if found.control is not None and encoding.startswith("iso8859"):
        number, line = found.control
        word = word_at(line, next(_CONTROL.finditer(line)).start()).encode("latin-1")
        return (
            f"line {number} holds control characters as {said} reads it ({word.decode(encoding, 'replace')!a}); "
            f"if it should read {word.decode('cp1252', 'replace')!r}, write data.source.encoding: cp1252"
        )
    return ""


def word_at(line: str, position: int) -> str:
    """The word of a line at a position where no delimiter or blank is."""
    return next(word[0] for word in _WORD.finditer(line) if word.start() <= position < word.end())
