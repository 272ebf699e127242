"""jsonl: what columns its lines have, and the rows of a block; a line that cannot be read stops no other."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from marwright.fleet.scoring.blocks import Source
from marwright.fleet.scoring.lines import BLANK
from marwright.fleet.scoring.storage import has_changed
from marwright.fleet.scoring.text_tables import Rows, text_array

JSON = "json"
"""The type of a column whose values are kept as JSON."""


class JsonColumns:
    """The columns of a jsonl file and their types, which only all of its lines together tell."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[str]] = {}
        """By name; what pyarrow calls a type that JSON has, or something else."""

    def look(self, lines: bytes) -> None:
        """Note the types in some lines."""
        kinds = _by_pyarrow(lines)
        if kinds is not None:
            for name, kind in kinds.items():
                self.kinds.setdefault(name, set()).add(kind)
            return
        for value in _objects(io.BytesIO(lines)):
            for name, one in (value or {}).items():
                self.kinds.setdefault(name, set()).add(_kind_of_value(one))


def columns_of(files: Iterable[JsonColumns], texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Names and types in all files of a job: string, int64, double, bool, or JSON for what differs or is nested."""
    kinds: dict[str, set[str]] = {}
    for one in files:
        for name, found in one.kinds.items():
            kinds.setdefault(name, set()).update(found)
    return tuple((name, "string" if name in texts else _type(found - {"null"})) for name, found in kinds.items())


def _type(kinds: set[str]) -> str:
    if not kinds:
        return "string"
    if kinds <= {"int64", _LONG}:
        return "int64"
    if kinds == {"int64", "double"}:
        return "double"
    return next(iter(kinds)) if len(kinds) == 1 and kinds <= set(_TYPES.values()) else JSON


_TYPES: dict[type, str] = {str: "string", int: "int64", float: "double", bool: "bool", type(None): "null"}
_LONG, _ROUNDED = "int64 that no double holds", "double that may have been an int64"
_EXACT = 2**53
"""From here on a double skips whole numbers."""


def _by_pyarrow(lines: bytes) -> dict[str, str] | None:
    """The types in some lines, which pyarrow finds fast; none where Python reads something else than pyarrow does."""
    import pyarrow
    from pyarrow import json as arrow_json

    reading = arrow_json.ReadOptions(use_threads=False, block_size=max(len(lines), 1))
    try:
        table = arrow_json.read_json(io.BytesIO(lines), read_options=reading)
        names = table.column_names
    except (pyarrow.ArrowException, UnicodeDecodeError):
        # A line that is no object, types that differ from line to line, or a name that is no UTF-8.
        return None
    # It takes an object of several lines for a row, and whole numbers beside others for doubles.
    is_a_line_a_row = table.num_rows == lines.count(b"\n") + (not lines.endswith(b"\n"))
    kinds = {name: _kind(column) for name, column in zip(names, table.columns, strict=True)}
    return kinds if is_a_line_a_row and _ROUNDED not in kinds.values() else None


def _kind(column: Any) -> str:
    """The type of a column that pyarrow has read."""
    from pyarrow import compute, types

    if types.is_timestamp(column.type):
        return "string"  # it takes dates in strings for dates
    if types.is_integer(column.type) or types.is_floating(column.type):
        bounds = compute.min_max(column).as_py()
        if any(abs(bound) >= _EXACT for bound in bounds.values() if bound is not None):
            return _ROUNDED if types.is_floating(column.type) else _LONG
    return str(column.type)


def _kind_of_value(value: Any) -> str:
    if type(value) is int and abs(value) >= _EXACT:
        return _LONG if -(2**63) <= value < 2**63 else JSON
    return _TYPES.get(type(value), JSON)


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any] | None]:
    """The object of each line that is not blank; none where it is something else, or has a name that is no Unicode."""
    for line in lines:
        if line not in BLANK:
            try:
                value = json.loads(line)
                if isinstance(value, dict):
                    "".join(value).encode()
            except (ValueError, RecursionError):
                value = None
            yield value if isinstance(value, dict) else None


def json_rows(data: bytes, source: Source, texts: Sequence[str]) -> Rows:
    """The rows of jsonl.

    Raises:
        DataError: the lines have other types than when the file was looked through.
    """
    import pyarrow

    problems: dict[int, str] = {}
    objects: list[dict[str, Any]] = []
    for value in _objects(io.BytesIO(data)):
        if value is None:
            problems[len(objects)] = "The line is not a JSON object"
        objects.append(value or {})
    arrays = []
    for name, kind in source.columns:
        values = [one.get(name) for one in objects]
        try:
            if name in texts:
                arrays.append(_text_column(name, values, problems))
            elif kind == JSON:
                arrays.append(_json_column(values))
            elif kind == "string":
                arrays.append(text_array(values)[0])
            else:
                arrays.append(pyarrow.array(values, pyarrow.type_for_alias(kind)))
        except (pyarrow.ArrowException, OverflowError, TypeError) as error:
            raise has_changed(source.place) from error
    return Rows(pyarrow.table(arrays, names=[name for name, _ in source.columns]), problems)


def _text_column(name: str, values: list[Any], problems: dict[int, str]) -> Any:
    """The column, and in ``problems`` why some of its rows cannot be scored."""
    for at, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            problems.setdefault(at, f"{name} must be a string")
            values[at] = _json(value)
    array, damaged = text_array(values)
    for at, problem in damaged.items():
        problems.setdefault(at, problem)
    return array


def _json_column(values: list[Any]) -> Any:
    import pyarrow

    try:
        return pyarrow.array([_json(one) for one in values], pyarrow.string())
    except UnicodeEncodeError:
        # A half of a surrogate pair: JSON can say it, UTF-8 cannot.
        return pyarrow.array([_json(one, ascii_only=True) for one in values], pyarrow.string())


def _json(value: Any, *, ascii_only: bool = False) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=ascii_only)
