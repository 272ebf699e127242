"""The rows that never reach a split: each with its place, its reason and its text, so that none is lost in silence."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from marwright.files import replacing

if TYPE_CHECKING:
    from marwright.sources.rows import Row


@dataclass(frozen=True, slots=True)
class LeftOutRow:
    """One row that was left out.

    ``place`` names source and line; ``text`` and ``label`` may be empty. ``because_of`` is the place of the row that is
    the reason, where there is one; ``split`` is the one in which the row was.
    """

    place: str
    reason: str
    text: str = ""
    label: str = ""
    because_of: str = ""
    split: str | None = None


@dataclass
class LeftOut:
    """A ledger of rows that were left out, in the order in which that happened."""

    rows: list[LeftOutRow] = field(default_factory=list)

    def add(self, reason: str, row: Row, because_of: Row | None = None) -> None:
        """Note that a row is left out, and because of which other one."""
        other = because_of.place if because_of is not None else ""
        self.rows.append(LeftOutRow(row.place, reason, row.text, row.label, other, row.split))

    def sift(self, reason: str, rows: Sequence[Row], leave: Sequence[bool]) -> list[Row]:
        """Note the rows to leave and return the others, in their order."""
        for row, goes in zip(rows, leave, strict=True):
            if goes:
                self.add(reason, row)
        return [row for row, goes in zip(rows, leave, strict=True) if not goes]

    @property
    def counts(self) -> Counter[str]:
        """How many rows were left out, by reason."""
        return Counter(row.reason for row in self.rows)

    def told(self) -> str:
        """How many rows were left out, by reason, each with its first place; empty where none was."""
        firsts = {row.reason: row for row in reversed(self.rows)}
        each = (
            f"{count} because {reason} (first {firsts[reason].place}"
            + (f", because of {firsts[reason].because_of})" if firsts[reason].because_of else ")")
            for reason, count in self.counts.items()
        )
        return ", ".join(each)

    def write(self, file: Path) -> None:
        """Write the ledger as a csv with the columns place, reason, text and label; the reason names the other row."""
        with replacing(file) as partial, partial.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("place", "reason", "text", "label"))
            for row in self.rows:
                reason = f"{row.reason}: {row.because_of}" if row.because_of else row.reason
                writer.writerow((row.place, reason, row.text, row.label))
