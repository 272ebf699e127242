"""Labelled rows from a table: csv, tsv, jsonl or parquet, a folder saved by ``datasets``, or a hub dataset.

A table is read to its end before anything wrong with its rows is reported, so that one run shows everything
there is to repair.
"""

from __future__ import annotations

import csv
import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from marwright.config import TableSource
from marwright.data.rows import Reading, Row
from marwright.data.sources.faults import Faults
from marwright.errors import DataError

# Where a record stands ("12", "12 of test"), its values by column, and the split the table itself puts it in.
Record = tuple[str, Mapping[str, object], str | None]

SPLITS = {"train": "train", "test": "test"} | dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (*_DELIMITERS, ".jsonl", ".parquet")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BATCH = 1024


def read(source: TableSource) -> Reading:
    """Read a table; its type follows from the file's suffix.

    Args:
        source: the table and the names of its columns. A relative path starts at the current folder.

    Raises:
        DataError: there is no such table or it cannot be opened. Iterating over the rows raises it too, for a
            missing column at once and for faulty rows at the end, all of them together.
    """
    path = Path(source.path).expanduser()
    wanted = [*source.text, source.label, *(name for name in (source.split, source.group) if name)]
    faults = Faults(source.path, unit="line" if path.is_file() and path.suffix.lower() != ".parquet" else "row")
    if path.is_dir():
        records = _dataset(_load_folder(path), wanted, faults)
    elif path.is_file():
        records = _file(path, wanted, faults)
    elif path.suffix.lower() in _SUFFIXES or not _HUB_ID.fullmatch(source.path):
        raise DataError(f"{source.path}: no such file; relative paths start at {Path.cwd()}.")
    else:
        records = _dataset(_load_from_hub(source), wanted, faults)
    return Reading(_rows(records, source, faults), origin=source.path)


def _rows(records: Iterable[Record], source: TableSource, faults: Faults) -> Iterator[Row]:
    count = 0
    try:
        for place, values, split in records:
            count += 1
            row = _row(place, values, split, source, faults)
            if row is not None:
                yield row
    except OSError as error:
        raise DataError(f"{source.path}: cannot be read: {error.strerror or error}.") from error
    faults.raise_if_any()
    if not count:
        raise DataError(f"{source.path}: holds no rows; check data.source.path.")


def _row(
    place: str, values: Mapping[str, object], split: str | None, source: TableSource, faults: Faults
) -> Row | None:
    before = faults.count
    texts = [values.get(name) for name in source.text]
    text = " ".join(part for part in (text.strip() for text in texts if isinstance(text, str)) if part)
    if any(not isinstance(part, str | None) for part in texts):
        faults.add(place, "a text that is not a string", "turn the values of the text column into strings")
    elif not text:
        faults.add(place, "empty text", "fill it in or delete the row")

    label = _name(values.get(source.label))
    if label is None:
        faults.add(place, "a label that is neither text nor a number", "give each row one name as its label")
    elif not label:
        faults.add(place, "empty label", "fill it in or delete the row")

    if source.split is not None:
        said = _name(values.get(source.split)) or ""
        split = SPLITS.get(said.lower())
        if split is None:
            faults.add(
                f"{place} ({said!r})",
                "unknown split",
                "write train, validation (or valid, val, dev) or test, or leave data.source.split out",
            )
    group = _name(values.get(source.group)) if source.group is not None else None
    if faults.count > before or label is None:
        return None
    return Row(text, label, f"{source.path} {faults.unit} {place}", group=group or None, split=split)


def _name(value: object) -> str | None:
    """A label as text: "" for a missing one, None for what cannot be a label."""
    if value is None or (isinstance(value, float) and math.isnan(value)):  # pandas' missing number
        return ""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) else None


def _file(path: Path, wanted: list[str], faults: Faults) -> Iterator[Record]:
    if (suffix := path.suffix.lower()) in _DELIMITERS:
        return _separated(path, _DELIMITERS[suffix], wanted, faults)
    if suffix == ".jsonl":
        return _json_lines(path, wanted, faults)
    if suffix == ".parquet":
        return _parquet(path, wanted, faults)
    raise DataError(f"{faults.table}: cannot read this type of file; give one of {_listed(_SUFFIXES)}.")


def _separated(path: Path, delimiter: str, wanted: list[str], faults: Faults) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(_lines(file, faults), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(
                    f"{faults.table}: the row that starts in line {line} breaks off ({error}); "
                    f"look there for a quotation mark that is not closed or not doubled."
                ) from error
            if not fields:  # a blank line
                continue
            if header is None:
                faults.raise_if_any()
                _require(wanted, fields, faults.table)
                header = fields
            elif len(fields) != len(header):
                kind = "fewer" if len(fields) < len(header) else "more"
                faults.add(
                    str(line),
                    f"{kind} fields than the {len(header)} columns",
                    f"put texts that hold a {'tab' if delimiter != ',' else 'comma'} in quotation marks",
                )
            else:
                yield str(line), dict(zip(header, fields, strict=True)), None


def _json_lines(path: Path, wanted: list[str], faults: Faults) -> Iterator[Record]:
    columns: dict[str, None] = {}
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        for number, line in enumerate(_lines(file, faults), 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                faults.add(str(number), "invalid JSON", "write one JSON object per line")
                continue
            if not isinstance(values, dict):
                faults.add(str(number), "JSON that is no object", "write one JSON object per line")
                continue
            columns |= dict.fromkeys(values)
            if "\\u" in line and any(_SURROGATE.search(str(values.get(name))) for name in wanted):
                faults.add(str(number), "half of a surrogate pair", "write the whole character")
                continue
            yield str(number), values, None
    if columns:  # an object may leave a column out, so only the whole file tells which columns it has
        _require(wanted, list(columns), faults.table)


def _lines(file: TextIO, faults: Faults) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if not line.isascii() and _SURROGATE.search(line):  # the mark that "surrogateescape" leaves
            faults.add(str(number), "bytes that are not UTF-8", "save the file as UTF-8")
        yield line


def _parquet(path: Path, wanted: list[str], faults: Faults) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            _require(wanted, schema.names, faults.table)
            names: dict[str, list[str]] = {}
            if b"huggingface" in (schema.metadata or {}):
                from datasets import Features

                names = _class_names(Features.from_arrow_schema(schema))
            batches = file.iter_batches(batch_size=_BATCH, columns=list(dict.fromkeys(wanted)))
            yield from _numbered((batch.to_pydict() for batch in batches), names, None)
    except pyarrow.ArrowException as error:
        raise DataError(f"{faults.table}: not a readable parquet file: {_first_line(error)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{faults.table}: a text column holds bytes that are not UTF-8; write it as UTF-8.") from error


def _load_folder(path: Path) -> dict[str | None, Any]:
    import datasets

    try:
        return _by_split(datasets.load_from_disk(str(path)))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: not a folder saved by datasets (save_to_disk); name a {_listed(_SUFFIXES)} file."
        ) from error


def _load_from_hub(source: TableSource) -> dict[str | None, Any]:
    import datasets

    try:
        return _by_split(datasets.load_dataset(source.path, source.subset))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{source.path}: no such file or folder here, and the Hugging Face hub could not give it: "
            f"{_first_line(error)}"
        ) from error


def _by_split(loaded: Any) -> dict[str | None, Any]:
    if not isinstance(loaded, dict):
        return {None: loaded}
    # The hub calls the only part of an undivided dataset "train": that is no division.
    return {None: next(iter(loaded.values()))} if len(loaded) == 1 else dict(loaded)


def _dataset(parts: Mapping[str | None, Any], wanted: list[str], faults: Faults) -> Iterator[Record]:
    unknown = [name for name in parts if name is not None and name not in SPLITS]
    if unknown:
        raise DataError(f"{faults.table}: unknown split {_listed(unknown)}; there may be train, validation and test.")
    for name, part in parts.items():
        _require(wanted, part.column_names, faults.table)
        # A saved dataset may remember a tensor format.
        columns = part.with_format(None).select_columns(list(dict.fromkeys(wanted)))
        yield from _numbered(columns.iter(batch_size=_BATCH), _class_names(part.features), name)


def _numbered(
    batches: Iterable[Mapping[str, list[Any]]], names: Mapping[str, list[str]], split: str | None
) -> Iterator[Record]:
    number = 0
    for batch in batches:
        for values in zip(*batch.values(), strict=True):
            number += 1
            record = dict(zip(batch, values, strict=True))
            for column, classes in names.items():
                if column in record:
                    index = record[column]  # -1 or None where a row has no label
                    record[column] = classes[index] if index is not None and 0 <= index < len(classes) else None
            yield f"{number} of {split}" if split else str(number), record, SPLITS[split] if split else None


def _class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names behind the integers of ``ClassLabel`` columns."""
    from datasets import ClassLabel

    return {column: feature.names for column, feature in features.items() if isinstance(feature, ClassLabel)}


def _require(wanted: Iterable[str], columns: list[str], table: str) -> None:
    wanted = list(dict.fromkeys(wanted))
    if missing := [name for name in wanted if name not in columns]:
        folded = {column.lower(): column for column in columns}
        near = [folded[name] for wish in missing for name in difflib.get_close_matches(wish.lower(), folded, n=1)]
        guess = f" Did you mean {_listed(near)}?" if near else ""
        shown = _listed(columns[:20]) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
        raise DataError(f"{table}: no column {_listed(missing)}; its columns are {shown}.{guess}")
    if twice := [name for name in wanted if columns.count(name) > 1]:
        raise DataError(f"{table}: column {_listed(twice)} occurs twice; rename one of the two.")


def _listed(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") + "."
