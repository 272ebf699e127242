"""Faulty rows of a table, collected while it is read and reported together."""

from __future__ import annotations

from dataclasses import dataclass, field

from marwright.errors import DataError

_SHOWN = 5


@dataclass
class _Kind:
    places: list[str] = field(default_factory=list)
    count: int = 0


class Faults:
    """What is wrong with which rows of one table.

    Args:
        table: the table's name, as the user wrote it.
        unit: what a place counts: ``line`` or ``row``.
    """

    def __init__(self, table: str, unit: str) -> None:
        self.table = table
        self.unit = unit
        self.count = 0
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def add(self, place: str, what: str, cure: str) -> None:
        """Note that the row at ``place`` has the fault ``what``; only the first few places are kept."""
        kind = self._kinds.setdefault((what, cure), _Kind())
        kind.count += 1
        self.count += 1
        if kind.count <= _SHOWN:
            kind.places.append(place)

    def raise_if_any(self) -> None:
        """Report the faults.

        Raises:
            DataError: there are some; one sentence for each kind.
        """
        if self._kinds:
            raise DataError("\n".join(self._sentence(*key, kind) for key, kind in self._kinds.items()))

    def _sentence(self, what: str, cure: str, kind: _Kind) -> str:
        more = kind.count - len(kind.places)
        places = ", ".join(kind.places) + (f" and {more} more" if more else "")
        return f"{self.table}: {what} in {self.unit}{'s' if kind.count > 1 else ''} {places}; {cure}."
