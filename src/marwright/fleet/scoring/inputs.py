"""The blocks that the rows of all tables fall into, and what columns they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from marwright.errors import DataError
from marwright.fleet.scoring.arrow_tables import forwards
from marwright.fleet.scoring.blocks import LARGE_JOB, MERGED_BLOCKS, ROWS, Block, Source, Span
from marwright.fleet.scoring.columns import is_text, listed_with_types
from marwright.fleet.scoring.finding import ARROW, Found
from marwright.fleet.scoring.json_tables import JSON, JsonColumns, columns_of
from marwright.fleet.scoring.lines import spans
from marwright.fleet.scoring.other_formats import LONGEST_SIGNATURE, refuse_other_formats
from marwright.fleet.scoring.storage import opened, reading
from marwright.fleet.scoring.text_tables import header_of
from marwright.formats.column_names import listed
from marwright.formats.delimiters import is_quoted


@dataclass(frozen=True)
class Plan:
    """All that is to be scored."""

    blocks: tuple[Block, ...]
    types: dict[str, Any]
    """The ``pyarrow.DataType`` of each column of the output that is one of the input."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names, in the order of the first input."""
        return tuple(self.types)

    @property
    def rows(self) -> int:
        """Of all inputs."""
        return sum(block.span.rows for block in self.blocks)


@dataclass(frozen=True)
class _Table:
    """One input, looked through."""

    source: Source
    spans: list[Span]
    types: dict[str, Any]
    json: JsonColumns | None = None
    """Of jsonl, whose types are those of all such files together."""


def plan(found: Sequence[Found], texts: Sequence[str]) -> Plan:
    """Divide tables into blocks; each table is looked through once, and a parquet file's end alone.

    Args:
        found: the tables.
        texts: the columns that hold the texts.

    Raises:
        DataError: a table cannot be read, lacks a column or has others than the first one; or there are no rows.
    """
    tables: list[_Table] = []
    for number, one in enumerate(found):
        with reading(one.place):
            tables.append(_looked_through(Source(number, one.place, one.kind)))
    is_large = sum(span.rows for table in tables for span in table.spans) >= LARGE_JOB
    in_json = columns_of((table.json for table in tables if table.json is not None), texts)
    blocks: list[Block] = []
    first: tuple[str, dict[str, Any]] | None = None
    for table in tables:
        source, types = table.source, table.types
        if table.json is not None:
            if not table.spans:
                continue
            _check_json(source.place, table.json, texts)
            source, types = replace(source, columns=in_json), _arrow_types(in_json)
        if not types:
            continue
        _check_texts(source.place, types, texts)
        first = first or (source.place, types)
        if types != first[1]:
            raise DataError(
                f"{source.place}: its columns ({listed_with_types(types)}) are not those of {first[0]} "
                f"({listed_with_types(first[1])}). Score it into an output of its own."
            )
        blocks += [Block(source, span) for span in (_merged(table.spans) if is_large else table.spans)]
    if first is None or not blocks:
        raise DataError(f"{found[0].place}: no row in it" + (", nor in the others." if len(found) > 1 else "."))
    return Plan(tuple(blocks), first[1])


def _merged(spans: Sequence[Span]) -> list[Span]:
    groups = [spans[at : at + MERGED_BLOCKS] for at in range(0, len(spans), MERGED_BLOCKS)]
    return [Span(each[0].first, sum(one.rows for one in each), each[0].start, each[-1].stop) for each in groups]


def _looked_through(source: Source) -> _Table:
    import pyarrow

    if source.kind in (".parquet", ARROW):
        table = forwards(source)
        total = table.rows()
        forwards.cache_clear()
        _refuse_doubles(source.place, table.schema.names)
        parts = [Span(at, min(ROWS, total - at)) for at in range(0, total, ROWS)]
        return _Table(source, parts, {one.name: one.type for one in table.schema})
    system, path = opened(source.place)
    with system.open(path, "rb") as stream:
        if source.kind == ".jsonl":
            refuse_other_formats(stream.read(LONGEST_SIGNATURE), source.place)
            stream.seek(0)
            found = JsonColumns()
            return _Table(source, list(spans(stream, source.place, ROWS, look=found.look)), {}, found)
        names, delimiter = header_of(stream, source.place, source.kind)
        _refuse_doubles(source.place, names)
        source = replace(source, columns=tuple((name, "string") for name in names), delimiter=delimiter)
        quoting = delimiter if is_quoted(source.kind) else ""
        parts = list(spans(stream, source.place, ROWS, quoting))
        return _Table(source, parts, dict.fromkeys(names, pyarrow.string()))


def _refuse_doubles(place: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        doubled = listed(sorted({name for name in names if names.count(name) > 1}))
        raise DataError(f"{place}: two columns have the same name: {doubled}. Rename one of them.")


def _arrow_types(columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    import pyarrow

    return {name: pyarrow.string() if kind == JSON else pyarrow.type_for_alias(kind) for name, kind in columns}


def _check_json(place: str, found: JsonColumns, texts: Sequence[str]) -> None:
    """See that a file of its own has the columns with the texts, and not only others of the job."""
    if not found.kinds:
        raise DataError(
            f"{place}: no line of it is a JSON object with a name in it. Write one object a line, no list of them."
        )
    _check_there(place, list(found.kinds), texts)


def _check_there(place: str, names: Sequence[str], texts: Sequence[str]) -> None:
    if missing := [text for text in texts if text not in names]:
        raise DataError(f"{place}: no column {missing[0]!r}; it has {listed(names)}. Name the texts with --text.")


def _check_texts(place: str, types: dict[str, Any], texts: Sequence[str]) -> None:
    _check_there(place, list(types), texts)
    for text in texts:
        if not is_text(types[text]):
            kind = listed([str(types[text])])
            raise DataError(f"{place}: the column {text!r} holds {kind}, and no texts. Name the texts with --text.")
