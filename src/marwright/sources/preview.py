"""The columns of a table and its first rows, before anybody has said which column is what.

They are read as a build reads them (:mod:`marwright.sources.tables`), except that faulty rows are passed over, and
that a text file which is not UTF-8 is read as cp1252 until somebody names its encoding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from marwright.errors import DataError, first_line
from marwright.formats.column_names import listed
from marwright.formats.delimiters import BY_SUFFIX
from marwright.sources.table import file_records
from marwright.sources.tables import json_lines, parquet, saved, separated, spreadsheet
from marwright.sources.tables.batches import records, types_of
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.kinds import check_kind, suffix_of
from marwright.sources.tables.records import Record
from marwright.sources.tables.settings import TableSource
from marwright.sources.tables.text_files import TextFile

MOST_ROWS = 2000
_TABLES = "a csv, tsv, jsonl, parquet or xlsx file, a folder saved by datasets, or a hub id"


def preview(table: str, encoding: str | None = None) -> dict[str, list[str]]:
    """The columns of a file, a folder or a hub id, in their order, with values of up to :data:`MOST_ROWS` rows as text.

    Unless the encoding is given, it is guessed.

    Raises:
        DataError: there is no such table, or its columns cannot be made out.
    """
    try:
        names, rows = _head(table, Path(table).expanduser(), encoding)
        seen = list(islice(rows, MOST_ROWS))
        good = [row.values for row in seen if row.problem is None and not row.aside]
    except DataError:
        raise
    # Readers of six kinds, each with errors of its own.
    except Exception as error:
        raise DataError(f"{table}: cannot be read as {_TABLES}: {first_line(error)}.") from error
    if not good:
        wrong = next((f": {row.problem.what} in row {row.place}" for row in seen if row.problem), "")
        raise DataError(
            f"{table}: holds no rows that can be read{wrong}; its columns would be {listed(names)}. If they are not, "
            "name its encoding with --encoding, or give the table alone in a file."
            if names
            else f"{table}: holds no rows."
        )
    return {name: ["" if row.get(name) is None else str(row[name]) for row in good] for name in names}


def _head(table: str, path: Path, encoding: str | None) -> tuple[list[str], Iterator[Record]]:
    """The names of the columns that can be named, and the rows."""
    kind = suffix_of(path)
    faults = Faults(table, "row", skip=True)
    source = TableSource(name="table", path=table, quoting=kind == ".csv" or None)
    if path.is_file():
        check_kind(path, kind, table)
        source = source.model_copy(update={"encoding": encoding or _encoding(path, kind, faults)})
        counts = Counter(_names(path, kind, source, faults))
        names = [name for name, count in counts.items() if name.strip() and count == 1]
        # Which of them is the label does not matter here.
        source = source.model_copy(update={"label": (*names, "")[0]})
        return names, file_records(path, kind, source, names, faults) if names else iter(())
    if not path.is_dir() and (kind or path.is_absolute()):
        raise DataError(f"{table}: no such file; relative paths start at {Path.cwd()}.")
    parts = saved.load_folder(path, source, f"give {_TABLES}.") if path.is_dir() else saved.load_from_hub(source)
    part = next(iter(parts.values()))
    rows = part.with_format(None).select(range(min(MOST_ROWS, len(part))))
    names = list(rows.column_names)
    return names, records([rows[:]], dict(zip(names, names, strict=True)), types_of(rows.features))


def _names(path: Path, kind: str, source: TableSource, faults: Faults) -> list[str]:
    if kind in BY_SUFFIX:
        names = separated.column_names(TextFile(path, source.encoding, faults), faults, BY_SUFFIX[kind])
    elif kind == ".jsonl":
        names = json_lines.column_names(TextFile(path, source.encoding, faults), MOST_ROWS)
    elif kind == ".parquet":
        names = parquet.column_names(path, faults)
    else:
        names = spreadsheet.column_names(path, source, faults)
    return names if kind == ".jsonl" else [name.strip() for name in names]


def _encoding(path: Path, kind: str, faults: Faults) -> str | None:
    """None where a build needs to be told nothing."""
    if kind not in (*BY_SUFFIX, ".jsonl"):
        return None
    text = TextFile(path, None, faults)
    foreign = text.encoding == "utf-8" and any(map(text.undecoded, islice(text.lines(), MOST_ROWS)))
    return "cp1252" if foreign else None
