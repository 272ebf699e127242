"""Columns of tables: what types they may have, and their texts."""

from __future__ import annotations

from typing import Any

from marwright.formats.column_names import listed

NOT_UTF8 = "The row is not valid UTF-8"


def listed_with_types(columns: dict[str, Any]) -> str:
    """Names for a sentence, each with its type."""
    return listed(f"{name}: {kind}" for name, kind in columns.items())


def is_text(kind: Any) -> bool:
    """Whether a ``pyarrow.DataType`` is one of texts."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def fits_csv(kind: Any) -> bool:
    """Whether a field of a csv can hold each value of a ``pyarrow.DataType``: bytes and what is nested have no form."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    is_number = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    is_time = types.is_temporal(kind) and not types.is_interval(kind)
    return bool(types.is_null(kind) or is_number or is_time or is_text(kind))


def texts_of(column: Any) -> tuple[list[str | None], dict[int, str]]:
    """The texts of a column of pyarrow; one out of a parquet file may have bytes that are no UTF-8.

    Returns:
        the texts, with U+FFFD for bytes that are no UTF-8; and why some rows cannot be scored, by their places.
    """
    import pyarrow

    try:
        return column.to_pylist(), {}
    except UnicodeDecodeError:
        raw: list[bytes | None] = column.cast(pyarrow.large_binary()).to_pylist()
    problems: dict[int, str] = {}
    texts: list[str | None] = []
    for at, value in enumerate(raw):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            texts.append(error.object.decode("utf-8", "replace"))
            problems[at] = NOT_UTF8
    return texts, problems
