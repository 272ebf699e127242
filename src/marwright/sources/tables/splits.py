"""What a table calls train, validation and test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from marwright.errors import DataError
from marwright.formats.column_names import listed
from marwright.sources.tables.settings import SplitName

USUAL: dict[SplitName, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
_NEEDED = ("train", "test")


class SplitNames:
    """Translates a table's names of splits, in any case, into ours; counts what it has seen.

    Where the user said nothing of one of ours, the usual names hold.
    """

    def __init__(self, said: Mapping[SplitName, Sequence[str]]) -> None:
        self.said = said
        self._ours: dict[str, str] = {name.lower(): ours for ours, names in said.items() for name in names}
        for ours, names in USUAL.items():
            if ours not in said:
                self._ours = dict.fromkeys(names, ours) | self._ours
        self._seen: Counter[str] = Counter()
        self._used: set[str] = set()

    def ours(self, name: str) -> str | None:
        """Train, validation or test, or None for a name that means none of them."""
        return self._ours.get(name.lower())

    def count(self, name: str, *, used: bool) -> None:
        """Note a row of a split, by the table's name, and whether such rows are read or left out."""
        self._seen[name] += 1
        if used:
            self._used.add(name)

    def check(self, table: str) -> None:
        """Refuse a division that nobody can work with, once all rows have been counted.

        Raises:
            DataError: a name that the user gave does not occur, or there are no train or no test rows.
        """
        if not self._seen:
            return
        seen = {name.lower() for name in self._seen}
        there = ", ".join(
            f"{listed([name])} ({count:,} rows{'' if name in self._used else ', left out'})"
            for name, count in self._seen.items()
        )
        if missing := [name for names in self.said.values() for name in names if name.lower() not in seen]:
            raise DataError(f"{table}: no split {listed(missing)}, as data.source.splits says; its splits are {there}.")
        given = {self.ours(name) for name in self._used}
        if lacking := [name for name in _NEEDED if name not in given]:
            raise DataError(
                f"{table}: none of its splits is {' or '.join(lacking)}; they are {there}. "
                f"{self.advice(sorted(self._used), lacking[0])}"
            )

    def advice(self, names: Sequence[str], lacking: str = "") -> str:
        """What to write so that the table's splits have a meaning."""
        free = [name for name in names if self.ours(name) in (None, "validation")]
        given = {self.ours(name) for name in names}
        ours = lacking or next((ours for ours in ("test", "validation") if ours not in given), "test")
        example = f", for example {{{ours}: {listed(free[:1])}}}" if free else ""
        return f"Say in data.source.splits which is train, validation and test{example}; those not named are left out."
