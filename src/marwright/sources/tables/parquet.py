"""parquet files, also those that ``datasets`` wrote with names for its classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from marwright.errors import DataError, first_line
from marwright.formats.column_names import listed
from marwright.sources.tables import columns
from marwright.sources.tables.batches import BATCH, Types, class_names, records
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.records import Record

_NARROW = ("halffloat", "float")  # Arrow's names of 16 and 32 bits


def read(path: Path, wanted: Sequence[str], faults: Faults) -> Iterator[Record]:
    """The rows of a parquet file.

    Raises:
        DataError: it is not a parquet file, it is damaged, or it lacks a column.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            positions = columns.require(wanted, schema.names, faults.table)
            kinds = {column.name: column.type for column in schema}
            narrow = {name: kind.to_pandas_dtype() for name, kind in kinds.items() if str(kind) in _NARROW}
            types = Types(narrow=narrow)
            if b"huggingface" in (schema.metadata or {}):
                from datasets import Features

                types = Types(class_names(Features.from_arrow_schema(schema)), narrow)
            column_of = {name: schema.names[at] for name, at in positions.items()}
            for sentence in types.told(column_of.values()):
                faults.note(sentence)
            there = list(dict.fromkeys(column_of.values()))
            batches = file.iter_batches(batch_size=BATCH, columns=there)
            lists = ({column: _values(batch, column, faults.table) for column in there} for batch in batches)
            yield from records(lists, column_of, types)
    except pyarrow.ArrowException as error:
        raise DataError(f"{faults.table}: not a readable parquet file: {first_line(error)}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{faults.table}: a text column holds bytes that are not UTF-8; write it as UTF-8.") from error


def column_names(path: Path, faults: Faults) -> list[str]:
    """The names in the schema.

    Raises:
        DataError: it is no parquet file.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except pyarrow.ArrowException as error:
        raise DataError(f"{faults.table}: not a readable parquet file: {first_line(error)}.") from error


def _values(batch: Any, column: str, table: str) -> list[Any]:
    try:
        return list(batch.column(column).to_pylist())
    # A time before the year 1, after 9999 or finer than Python's; a zone that this machine does not know.
    except (OverflowError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise DataError(
            f"{table}: the column {listed([column])} holds a value that Python cannot hold "
            f"({first_line(error)}); write it as text."
        ) from error
