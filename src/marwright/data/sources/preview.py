"""The columns of a table and its first rows, before anybody has said which column is what."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marwright.errors import DataError

MOST_ROWS = 2000
_HEAD = 1 << 20
_DELIMITERS = ",;\t|"
_TABLES = "a csv, tsv, jsonl, parquet or xlsx file, a folder saved by datasets, or a hub id"


@dataclass(frozen=True)
class Preview:
    """Column names in their order, and the values of up to :data:`MOST_ROWS` rows in each, as text."""

    columns: dict[str, list[str]]


def preview(table: str, encoding: str | None = None) -> Preview:
    """Look at the head of a table.

    Args:
        table: a path, or a hub id.
        encoding: of a text file; guessed if not given.

    Raises:
        DataError: there is none, or no columns can be made out.
    """
    path = Path(table).expanduser()
    try:
        rows = list(itertools.islice(_rows(table, path, encoding), MOST_ROWS))
    except DataError:
        raise
    # Readers of six kinds, each with errors of its own.
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"{table}: cannot be read as {_TABLES}: {reason}.") from error
    columns: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(str(name), []).append("" if value is None else str(value))
    if not columns:
        raise DataError(f"{table}: holds no rows.")
    return Preview(columns)


def _rows(table: str, path: Path, encoding: str | None) -> Iterator[Mapping[Any, Any]]:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if path.is_file():
        if kind in (".csv", ".tsv"):
            return _separated(_head(path, encoding), kind)
        if kind == ".jsonl":
            return (value for line in _head(path, encoding).splitlines() if isinstance(value := _object(line), dict))
        if kind == ".parquet":
            return _parquet(path)
        if kind in (".xlsx", ".xlsm"):
            return _workbook(path)
        raise DataError(f"{table}: cannot read this type of file; give {_TABLES}.")
    if not path.is_dir() and (kind or path.is_absolute()):
        raise DataError(f"{table}: no such file; relative paths start at {Path.cwd()}.")
    return _dataset(table, path)


def _head(path: Path, said: str | None) -> str:
    """The first megabyte as text, without the line in which it ends."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rb") as file:
        data = file.read(_HEAD)
    guessed = ("utf-16",) if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252")
    for encoding in (said,) if said else guessed:
        # A character of the last line may be cut in two.
        whole = data if len(data) < _HEAD else data[: data.rfind(b"\n")]
        try:
            return whole.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", errors="replace")


def _separated(text: str, kind: str) -> Iterator[Mapping[Any, Any]]:
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep="):
        text, first = rest, rest.partition("\n")[0]
    usual = "\t" if kind == ".tsv" else ","
    delimiter = max(_DELIMITERS, key=lambda each: (first.count(each), each == usual))
    csv.field_size_limit(1 << 30)
    lines = io.StringIO(text, newline="")
    if kind == ".tsv":
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(lines, delimiter=delimiter)
    header = [name.strip() for name in next(rows, [])]
    yield from (dict(zip(header, row, strict=False)) for row in rows if row)


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _parquet(path: Path) -> Iterator[Mapping[Any, Any]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=MOST_ROWS):
            yield from batch.to_pylist()


def _workbook(path: Path) -> Iterator[Mapping[Any, Any]]:
    try:
        import openpyxl
    except ImportError:
        raise DataError(f"{path}: xlsx needs the package openpyxl: pip install 'marwright[xlsx]'.") from None
    sheet = openpyxl.load_workbook(path, read_only=True, data_only=True).worksheets[0]
    lines: Iterable[tuple[Any, ...]] = sheet.iter_rows(values_only=True)
    header, *rows = itertools.islice(lines, MOST_ROWS + 1)
    for row in rows:
        yield {name: value for name, value in zip(header, row, strict=False) if name is not None}


def _dataset(table: str, path: Path) -> Iterator[Mapping[Any, Any]]:
    import datasets

    datasets.disable_progress_bars()
    loaded = datasets.load_from_disk(str(path)) if path.is_dir() else datasets.load_dataset(table)
    part = next(iter(loaded.values())) if isinstance(loaded, dict) else loaded
    yield from part.with_format(None).select(range(min(MOST_ROWS, len(part))))
