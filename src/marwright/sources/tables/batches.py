"""Rows out of batches of columns, as parquet and ``datasets`` give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from marwright.formats.column_names import listed
from marwright.sources.tables.records import Problem, Record

BATCH = 1024
_SHOWN = 5


@dataclass(frozen=True)
class Types:
    """What the values of a table's columns do not say themselves.

    ``classes`` are the names behind the integers of ``ClassLabel`` columns. ``narrow`` are the numpy types of columns
    that hold numbers of less than 64 bits with a fraction: 0.1 in 32 bits is 0.10000000149011612 in 64.
    """

    classes: Mapping[str, list[str]] = field(default_factory=dict)
    narrow: Mapping[str, Any] = field(default_factory=dict)

    def told(self, columns: Iterable[str]) -> list[str]:
        """What the user should know of columns that are read."""
        return [
            f"the numbers of column {listed([column])} have 32 bits at most, and were read with the fewest digits that "
            "tell them apart"
            for column in dict.fromkeys(columns)
            if column in self.narrow
        ]


def types_of(features: Mapping[str, Any]) -> Types:
    """The types of columns by the features that ``datasets`` gives them."""
    import numpy as np

    dtypes = {column: getattr(feature, "dtype", None) for column, feature in features.items()}
    return Types(
        class_names(features),
        {column: np.dtype(dtype).type for column, dtype in dtypes.items() if dtype in ("float16", "float32")},
    )


def records(
    batches: Iterable[Mapping[str, list[Any]]],
    column_of: Mapping[str, str],
    types: Types,
    split: str | None = None,
    aside: str = "",
) -> Iterator[Record]:
    """The rows of batches (lists of equal length, by column), numbered from 1.

    ``column_of`` has the columns by the names under which they are wanted; ``aside`` says why no row is read.
    """
    number = 0
    for batch in batches:
        for values in zip(*(batch[column] for column in column_of.values()), strict=True):
            number += 1
            record = dict(zip(column_of, values, strict=True))
            problem = None
            place = f"{number} of {split}" if split else str(number)
            for wish, column in column_of.items():
                if (names := types.classes.get(column)) is not None:
                    record[wish] = _class_of(record[wish], names)
                    if isinstance(record[wish], int):
                        problem = _no_class(record[wish], names, place)
                elif column in types.narrow and record[wish] is not None:
                    record[wish] = float(str(types.narrow[column](record[wish])))
            yield Record(place, record, split, problem, aside)


def _class_of(index: int | None, names: list[str]) -> str | int | None:
    """The name behind a number, None for -1, which stands where a row has no class; a number without a name stays."""
    if index is None or index == -1:
        return None
    return names[index] if 0 <= index < len(names) else index


def _no_class(index: int, names: list[str], place: str) -> Problem:
    shown = listed(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
    return Problem(
        f"a number that is no class: there are {len(names)}, numbered from 0 ({shown}),",
        "correct the number, or name its class where the table is written",
        f"{place} ({index})",
    )


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names behind the integers of ``ClassLabel`` columns."""
    from datasets import ClassLabel

    return {column: feature.names for column, feature in features.items() if isinstance(feature, ClassLabel)}
