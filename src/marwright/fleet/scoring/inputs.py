"""What ``--input`` means: which tables, what columns they have, and the blocks that their rows fall into."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from marwright.errors import DataError
from marwright.fleet.scoring.arrow_tables import forwards
from marwright.fleet.scoring.blocks import ROWS, Block, Source, Span
from marwright.fleet.scoring.lines import spans
from marwright.fleet.scoring.storage import opened, reading
from marwright.fleet.scoring.text_tables import JsonColumns, header_of

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
ARROW = ".arrow"
"""A file in a folder that ``datasets`` saved."""
# What tells a file from one that was written since, by what different file systems call it.
_CHANGES = ("mtime", "etag", "ETag", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True)
class Found:
    """A table that is there."""

    place: str
    kind: str
    size: int
    changed: str
    """When, or a digest; whatever the file system says."""


@dataclass(frozen=True)
class Plan:
    """All that is to be scored."""

    blocks: tuple[Block, ...]
    columns: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Of all inputs."""
        return sum(block.span.rows for block in self.blocks)


def find(places: Sequence[str]) -> list[Found]:
    """The tables that paths, URLs and globs name, sorted, each once.

    Raises:
        DataError: there are none, or one is of another type.
    """
    found: dict[str, Found] = {}
    for place in places:
        system, path = opened(place)
        with reading(place):
            hits = sorted(system.glob(path)) if any(one in path for one in "*?[") else [path]
            there = [one for hit in hits for one in _tables(system, hit, place)]
        if not there:
            raise DataError(f"{place}: no such file. Quote a glob, so that marwright sees it and not your shell.")
        found |= {one.place: one for one in there}
    return [found[place] for place in sorted(found)]


def _tables(system: Any, path: str, given: str) -> list[Found]:
    if not system.exists(path):
        return []
    if system.isdir(path):
        return [_found(system, one, ARROW) for one in _saved(system, path.rstrip("/"), given)]
    kind = "." + path.rpartition(".")[2].lower()
    if kind not in KINDS:
        raise DataError(
            f"{system.unstrip_protocol(path)}: cannot read this type of file; give one of {', '.join(KINDS)}, "
            "or a folder that datasets saved."
        )
    return [_found(system, path, kind)]


def _saved(system: Any, path: str, given: str) -> list[str]:
    """The arrow files of a folder that ``save_to_disk`` wrote, of all its splits."""
    if system.exists(f"{path}/dataset_dict.json"):
        splits = json.loads(system.cat_file(f"{path}/dataset_dict.json"))["splits"]
        return [file for split in splits for file in _saved(system, f"{path}/{split}", given)]
    if not system.exists(f"{path}/state.json"):
        raise DataError(
            f"{given}: not a folder that datasets saved (save_to_disk). For its files give a glob: {path}/*"
        )
    state = json.loads(system.cat_file(f"{path}/state.json"))
    if state.get("_indices_data_files"):
        raise DataError(f"{given}: its rows are in another order than its files; save it again with a newer datasets.")
    return [f"{path}/{file['filename']}" for file in state["_data_files"]]


def _found(system: Any, path: str, kind: str) -> Found:
    about = system.info(path)
    changed = next((str(about[name]) for name in _CHANGES if about.get(name) is not None), "")
    # A local path stays one; it is absolute by now.
    place = path if path.startswith("/") and "file" in system.protocol else system.unstrip_protocol(path)
    return Found(place, kind, int(about.get("size") or 0), changed)


def plan(found: Sequence[Found], texts: Sequence[str]) -> Plan:
    """Divide tables into blocks; each table is looked through once, and a parquet file's end alone.

    Args:
        found: the tables.
        texts: the columns that hold the texts.

    Raises:
        DataError: a table cannot be read, lacks a column or has others than the first one; or there are no rows.
    """
    planned: list[tuple[Source, list[Span], dict[str, str]]] = []
    json_columns = JsonColumns(texts)
    for number, one in enumerate(found):
        with reading(one.place):
            planned.append(_planned(Source(number, one.place, one.kind), texts, json_columns))
    in_json = json_columns.found()
    blocks: list[Block] = []
    first: tuple[str, dict[str, str]] | None = None
    for planned_source, parts, types in planned:
        is_json = planned_source.kind == ".jsonl"
        source = replace(planned_source, columns=in_json) if is_json else planned_source
        columns = types or dict(source.columns)
        if not parts and not columns:
            continue
        _check(source.place, columns, texts)
        first = first or (source.place, columns)
        if columns != first[1]:
            raise DataError(
                f"{source.place}: its columns ({_listed(columns)}) are not those of {first[0]} ({_listed(first[1])}). "
                "Score it into an output of its own."
            )
        blocks += [Block(source, span) for span in parts]
    if first is None or not blocks:
        raise DataError(f"{found[0].place}: no row in it" + (", nor in the others." if len(found) > 1 else "."))
    return Plan(tuple(blocks), tuple(first[1]))


def _planned(
    source: Source, texts: Sequence[str], json_columns: JsonColumns
) -> tuple[Source, list[Span], dict[str, str]]:
    system, path = opened(source.place)
    if source.kind in (".parquet", ARROW):
        table = forwards(source)
        total = table.rows()
        types = {one.name: str(one.type) for one in table.schema}
        if len(types) < len(table.schema):
            raise DataError(f"{source.place}: two columns have the same name.")
        forwards.cache_clear()
        return source, [Span(at, min(ROWS, total - at)) for at in range(0, total, ROWS)], types
    with system.open(path, "rb") as stream:
        if source.kind == ".jsonl":
            return source, list(spans(stream, source.place, ROWS, look=json_columns.look)), {}
        names, delimiter = header_of(stream, source.place, source.kind)
        if len(set(names)) < len(names):
            raise DataError(f"{source.place}: two columns have the same name.")
        source = replace(source, columns=tuple((name, "string") for name in names), delimiter=delimiter)
        quoting = "" if delimiter == "\t" else delimiter
        return source, list(spans(stream, source.place, ROWS, quoting)), {}


def _check(place: str, columns: dict[str, str], texts: Sequence[str]) -> None:
    for text in texts:
        if text not in columns:
            raise DataError(f"{place}: no column {text!r}; it has {', '.join(columns)}. Name the texts with --text.")
        if "string" not in columns[text]:
            raise DataError(f"{place}: the column {text!r} holds {columns[text]}, and no texts.")


def _listed(columns: dict[str, str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in columns.items())
