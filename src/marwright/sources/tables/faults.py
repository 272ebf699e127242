"""Faulty rows of a table, collected while it is read: reported together, or left out one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from marwright.errors import DataError
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row
from marwright.sources.tables.records import Problem

_SHOWN = 5


@dataclass
class _Kind:
    places: list[str] = field(default_factory=list)
    count: int = 0


class Faults:
    """What is wrong with which rows of a table, whose places count a unit, ``line`` or ``row``.

    With ``skip`` faulty rows are left out instead of refusing the table.
    """

    def __init__(self, table: str, unit: str, *, skip: bool = False) -> None:
        self.table = table
        self.unit = unit
        self.skip = skip
        self.left_out = LeftOut()
        self.notes: list[str] = []
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def named(self, place: str) -> str:
        """A place with its table."""
        return f"{self.table} {self.unit} {place}"

    def note(self, sentence: str) -> None:
        """Say something about the table that the user should know although it was read."""
        self.notes.append(f"{self.table}: {sentence}")

    def add(self, place: str, problems: Sequence[Problem], text: str, label: str) -> None:
        """Note what is wrong with the row at ``place``; only the first few places of a kind are kept for the report."""
        for problem in problems:
            kind = self._kinds.setdefault(problem[:2], _Kind())
            kind.count += 1
            if kind.count <= _SHOWN:
                kind.places.append(problem.place or place)
        if self.skip:
            self.leave("; ".join(problem.what for problem in problems), place, text, label)

    def leave(self, reason: str, place: str, text: str, label: str) -> None:
        """Leave out a row."""
        self.left_out.add(reason, Row(readable(text), readable(label), self.named(place)))

    def refusal(self, place: str, problem: Problem) -> DataError:
        """The error for something without which no row can be read."""
        return DataError(self._sentence(problem.what, problem.cure, _Kind([problem.place or place], 1)))

    def settle(self, kept: int) -> None:
        """Report the faults, once the table has been read.

        Raises:
            DataError: there are some, and they may not be skipped or nothing else is left.
        """
        sentences = [self._sentence(*key, kind) for key, kind in self._kinds.items()]
        if sentences and not (self.skip and kept):
            raise DataError("\n".join(sentences))
        self.notes += [sentence.replace(": ", ": left out: ", 1) for sentence in sentences]

    def _sentence(self, what: str, cure: str, kind: _Kind) -> str:
        more = kind.count - len(kind.places)
        places = ", ".join(kind.places) + (f" and {more} more" if more else "")
        return f"{self.table}: {what} in {self.unit}{'s' if kind.count > 1 else ''} {places}; {cure}."


def readable(text: str) -> str:
    """The text with a replacement character where a byte could not be decoded, so that it can be written."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
