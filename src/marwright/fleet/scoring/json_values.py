"""Columns of pyarrow as values for JSON, none of them silently another one."""

from __future__ import annotations

import base64
from itertools import islice
from typing import Any

from marwright.fleet.scoring.columns import is_text, texts_of


def json_values(column: Any) -> list[Any]:
    """The values of a ``pyarrow.Array`` as JSON has them.

    Dates and times are as pyarrow writes them, to the last digit; a duration is the number of its units, bytes are in
    base64, a decimal is a string. JSON has no NaN and no infinity: they are null.
    """
    import pyarrow
    from pyarrow import types

    kind = column.type
    if is_text(kind):
        return texts_of(column)[0]
    if types.is_floating(kind):
        return _finite(column)
    if types.is_fixed_size_binary(kind) or kind in (pyarrow.binary(), pyarrow.large_binary(), pyarrow.binary_view()):
        return [None if one is None else base64.b64encode(one).decode() for one in column.to_pylist()]
    if types.is_temporal(kind):
        return _times(column)
    if types.is_decimal(kind):
        return [None if one is None else str(one) for one in column.to_pylist()]
    return _nested(column)


def with_known_zone(column: Any) -> Any:
    """Timestamps that can be written: in UTC where nobody here knows their time zone."""
    import pyarrow

    try:
        pyarrow.array([0], pyarrow.int64()).view(column.type).cast(pyarrow.string())
    except pyarrow.ArrowInvalid:
        return column.cast(pyarrow.timestamp(column.type.unit, "UTC"))
    return column


def _finite(column: Any) -> list[Any]:
    import pyarrow
    from pyarrow import compute

    column = column.cast(pyarrow.float64())
    finite = compute.is_finite(column)
    if compute.all(finite).as_py() is False:
        column = compute.if_else(finite, column, None)
    return list(column.to_pylist())


def _times(column: Any) -> list[Any]:
    import pyarrow
    from pyarrow import types

    if types.is_interval(column.type):
        return list(column.to_pylist())
    if types.is_duration(column.type):
        return list(column.cast(pyarrow.int64()).to_pylist())
    if types.is_timestamp(column.type):
        column = with_known_zone(column)
    return list(column.cast(pyarrow.string()).to_pylist())


def _nested(column: Any) -> list[Any]:
    import pyarrow
    from pyarrow import compute, types

    kind = column.type
    if isinstance(column, pyarrow.ExtensionArray):
        return json_values(column.storage)
    if types.is_dictionary(kind):
        return json_values(column.dictionary_decode())
    if types.is_run_end_encoded(kind):
        return json_values(compute.run_end_decode(column))
    return _with_children(column) if types.is_nested(kind) else list(column.to_pylist())


def _with_children(column: Any) -> list[Any]:
    import pyarrow
    from pyarrow import compute, types

    kind = column.type
    if types.is_struct(kind):
        names = [field.name for field in kind]
        fields = [json_values(field) for field in column.flatten()]
        rows = zip(*fields, strict=True) if fields else [()] * len(column)
        there = column.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if valid else None for row, valid in zip(rows, there, strict=True)]
    if types.is_map(kind):
        pair = pyarrow.struct([("key", kind.key_type), ("value", kind.item_type)])
        found = json_values(column.cast(pyarrow.list_(pair)))
        return [None if one is None else [list(pair.values()) for pair in one] for one in found]
    items = iter(json_values(column.flatten()))
    counts = compute.list_value_length(column).to_pylist()
    return [None if count is None else list(islice(items, count)) for count in counts]
