"""Rows out of batches of columns, as parquet and ``datasets`` give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from marwright.sources.tables.records import Record

BATCH = 1024


def records(
    batches: Iterable[Mapping[str, list[Any]]],
    column_of: Mapping[str, str],
    classes: Mapping[str, list[str]],
    split: str | None = None,
    aside: str = "",
) -> Iterator[Record]:
    """The rows of batches, numbered from 1.

    Args:
        batches: lists of equal length, by column.
        column_of: the columns that are read, by the names under which they are wanted.
        classes: the names behind the integers of a column, by column.
        split: the part of the table they are of.
        aside: why none of them is read.
    """
    number = 0
    for batch in batches:
        for values in zip(*(batch[column] for column in column_of.values()), strict=True):
            number += 1
            record = dict(zip(column_of, values, strict=True))
            for wish in (wish for wish, column in column_of.items() if column in classes):
                names, index = classes[column_of[wish]], record[wish]  # -1 or None where a row has no label
                record[wish] = names[index] if index is not None and 0 <= index < len(names) else None
            yield Record(f"{number} of {split}" if split else str(number), record, split, aside=aside)


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names behind the integers of ``ClassLabel`` columns."""
    from datasets import ClassLabel

    return {column: feature.names for column, feature in features.items() if isinstance(feature, ClassLabel)}
