"""Labels as text, and whether one class is written in several ways.

JSON, parquet and spreadsheets have types: 1, 1.0, "1" and true may all be meant for one class.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from marwright.errors import DataError
from marwright.formats.column_names import listed
from marwright.sources.tables.appearance import seen
from marwright.sources.tables.faults import Faults

_EXACT = 1 << 53  # above, not every whole number is a float
_WHOLE = re.compile(r"(-?\d+)\.0+")
# Digits as JSON writes a number; 01 is none, since codes begin so.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]{1,3})?")
_SHOWN = 3
_WORDS = {bool: "true or false", str: "text", int: "a whole number"}


def name_of(value: object) -> str | None:
    """A label as text: "" for a missing one, None for what cannot be a label.

    A number is written without an empty fraction: 1.0 as 1, since 1 becomes 1.0 in a column that lacks a value.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value)
    return _digits(value) if isinstance(value, int | float | Decimal) else None


def _digits(value: float | Decimal) -> str | None:
    if math.isnan(value):  # pandas' missing number
        return ""
    if math.isinf(value):
        return None
    return str(int(value)) if value == int(value) and -_EXACT < value < _EXACT else str(value)


class Spellings:
    """The ways in which a table's labels are written, with the first place of each."""

    def __init__(self) -> None:
        self._places: dict[str, dict[type, str]] = {}

    def add(self, value: object, label: str, place: str) -> None:
        """Note a label, as it stands in the table and as text."""
        self._places.setdefault(label, {}).setdefault(type(value), place)

    def check(self, faults: Faults) -> None:
        """Say where one label is written in several ways and was read as one.

        Raises:
            DataError: true or false beside other labels, or numbers beside text that may mean the same.
        """
        first: dict[type, str] = {}
        for places in self._places.values():
            for kind, place in places.items():
                first.setdefault(kind, place)
        numbers = {label for label, places in self._places.items() if places.keys() - {bool, str}}
        texts = {label for label, places in self._places.items() if str in places}
        alike = {whole for label in texts if (whole := _without_fraction(label)) != label and whole in numbers}
        if (bool in first and len(first) > 1) or alike:
            raise DataError(
                f"{faults.table}: its labels are of several types: {self._kinds(first, faults.unit)}. "
                "Write all of them in one way, for example as text; else one class would count as several."
            )
        mixed = {label: places for label, places in self._places.items() if len(places) > 1}
        for label, ways in list(mixed.items())[:_SHOWN]:
            faults.note(
                f"the label {listed([label])} is written in several ways and was read as one: "
                f"{self._kinds(ways, faults.unit)}"
            )
        if len(mixed) > _SHOWN:
            faults.note(f"so are {len(mixed) - _SHOWN} more labels")
        self._tell_alike(faults, numbers, texts)

    def _tell_alike(self, faults: Faults, numbers: set[str], texts: set[str]) -> None:
        groups: dict[str | Decimal, list[str]] = {}
        for label in sorted(numbers | texts):
            folded = _without_fraction(" ".join(seen(label).casefold().split()))
            # Beside numbers, a text of digits may be meant for one of them.
            is_number = label in numbers or (numbers and _NUMBER.fullmatch(folded))
            groups.setdefault(Decimal(folded) if is_number else folded, []).append(label)
        alike = [labels for labels in groups.values() if len(labels) > 1]
        for labels in alike[:_SHOWN]:
            same = len({seen(label) for label in labels}) < len(labels)
            names = ", ".join(map(ascii, labels)) if same else listed(labels)
            faults.note(f"{names} are different labels; are they meant to be?")
        if len(alike) > _SHOWN:
            faults.note(f"{len(alike) - _SHOWN} more groups of labels look alike")

    def _kinds(self, places: dict[type, str], unit: str) -> str:
        return ", ".join(
            f"{_WORDS.get(kind, 'a number with a fraction')} ({unit} {place})" for kind, place in places.items()
        )


def _without_fraction(label: str) -> str:
    match = _WHOLE.fullmatch(label)
    return match[1] if match else label
