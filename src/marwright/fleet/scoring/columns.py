"""Columns of tables: how a sentence lists them, and what types they may have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MOST_LISTED = 20
LONGEST_NAME = 60


def listed(names: Iterable[str]) -> str:
    """Names for a sentence; it stays one, whatever a file holds."""
    shown = [name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…" for name in names]
    more = len(shown) - MOST_LISTED
    return ", ".join(shown) if more <= 0 else f"{', '.join(shown[:MOST_LISTED])} and {more:,} more"


def listed_with_types(columns: dict[str, Any]) -> str:
    """The same with each column's type."""
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
