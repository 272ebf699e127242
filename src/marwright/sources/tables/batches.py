"""Rows out of batches of columns, as parquet and ``datasets`` give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from marwright.sources.tables.records import Record

BATCH = 1024


def records(
    batches: Iterable[Mapping[str, list[Any]]], names: Mapping[str, list[str]], split: str | None, aside: str = ""
) -> Iterator[Record]:
    """The rows of batches, numbered from 1.

    Args:
        batches: lists of equal length, by column.
        names: the classes behind the integers of a column, by column.
        split: the part of the table they are of.
        aside: why none of them is read.
    """
    number = 0
    for batch in batches:
        for values in zip(*batch.values(), strict=True):
            number += 1
            record = dict(zip(batch, values, strict=True))
            for column, classes in names.items():
                if column in record:
                    index = record[column]  # -1 or None where a row has no label
                    record[column] = classes[index] if index is not None and 0 <= index < len(classes) else None
            yield Record(f"{number} of {split}" if split else str(number), record, split, aside=aside)


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names behind the integers of ``ClassLabel`` columns."""
    from datasets import ClassLabel

    return {column: feature.names for column, feature in features.items() if isinstance(feature, ClassLabel)}
