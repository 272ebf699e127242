"""A part of the output as bytes: parquet keeps every value as it is, csv and jsonl say it in their own way."""

from __future__ import annotations

import io
import json
from typing import Any

from marwright.fleet.scoring.columns import texts_of
from marwright.fleet.scoring.json_values import json_values, with_known_zone

FORMATS = ("parquet", "csv", "jsonl")


def encoded(table: Any, form: str) -> bytes:
    """The bytes of a ``pyarrow.Table`` in one of :data:`FORMATS`; for a csv its columns fit into one."""
    sink = io.BytesIO()
    if form == "parquet":
        from pyarrow import parquet

        parquet.write_table(table, sink)
    elif form == "jsonl":
        _write_jsonl(table, sink)
    else:
        import pyarrow
        from pyarrow import csv

        columns = [_csv_column(column.combine_chunks()) for column in table.columns]
        csv.write_csv(pyarrow.table(columns, names=table.column_names), sink)
    return sink.getvalue()


def _write_jsonl(table: Any, sink: io.BytesIO) -> None:
    names = table.column_names
    for row in zip(*(json_values(column.combine_chunks()) for column in table.columns), strict=True):
        line = json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False)
        sink.write(line.encode() + b"\n")


def _csv_column(column: Any) -> Any:
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_nested(kind):
        texts = [None if one is None else json.dumps(one, ensure_ascii=False) for one in json_values(column)]
        return pyarrow.array(texts, pyarrow.string())
    if types.is_timestamp(kind):
        return with_known_zone(column)
    if types.is_string_view(kind):
        column = column.cast(pyarrow.large_string())
    try:
        column.validate(full=True)
    except pyarrow.ArrowInvalid:
        return pyarrow.array(texts_of(column)[0], pyarrow.string())
    return column
