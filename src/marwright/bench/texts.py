"""Where the texts of the requests come from."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from marwright.errors import DataError
from marwright.formats.column_names import listed
from marwright.formats.delimiters import BY_SUFFIX, header_and_delimiter, reader
from marwright.mar import layout
from marwright.mar.golden import parsed
from marwright.mar.reading import member_of
from marwright.workspace import Run

# Every request is made before the run and kept in memory.
MOST = 20_000
COLUMN = "text"
_OTHERS = "Give --texts FILE or --config CONFIG."


def texts_of_file(file: Path) -> list[str]:
    """The lines of a text file, or the column ``text`` of a .csv or .tsv file.

    Raises:
        DataError: it cannot be read, has no such column, or has no text.
    """
    suffix = file.suffix.lower()
    try:
        if suffix not in BY_SUFFIX:
            return _chosen(file.read_text(encoding="utf-8-sig").split("\n"), str(file))
        with file.open(encoding="utf-8-sig", newline="") as opened:
            header, delimiter, _ = header_and_delimiter(opened, suffix)
            rows = reader(chain([header], opened), delimiter, suffix)
            names: list[str] = next(rows, [])
            if COLUMN not in names:
                raise DataError(f"{file}: no column {COLUMN!r}; it has {listed(names or ['none'])}.")
            at = names.index(COLUMN)
            return _chosen([row[at] for row in rows if at < len(row)], str(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as texts: {error}.") from error


def texts_of_archive(archive: Path) -> list[str]:
    """The texts of an archive's golden requests.

    Raises:
        ArchiveError: the archive cannot be read.
        DataError: it has no golden requests.
    """
    written = member_of(archive, layout.GOLDEN)
    if written is None:
        raise DataError(f"{archive} has no {layout.GOLDEN} to take texts from. {_OTHERS}")
    try:
        return _chosen([request.text for request in parsed(written)], str(archive))
    except ValueError as error:
        raise DataError(f"{archive}: its {layout.GOLDEN} cannot be read ({error}). {_OTHERS}") from error


def texts_of_run(run: Run) -> list[str]:
    """The test split of a run.

    Raises:
        DataError: the run has no splits yet.
    """
    if not run.data.splits.is_dir():
        raise DataError(
            f"{run.data.splits} does not exist yet: make it with `marwright build CONFIG --until data`, "
            f"or give --texts FILE."
        )
    from datasets import load_from_disk

    return _chosen(list(load_from_disk(str(run.data.splits))["test"][COLUMN]), str(run.data.splits))


def _chosen(texts: Sequence[str], origin: str) -> list[str]:
    """The texts that are not empty, mixed and cut to the most that are sent; always the same ones."""
    there = [text for text in texts if text.strip()]
    if not there:
        raise DataError(f"{origin}: no text in it.")
    return random.Random(0).sample(there, min(len(there), MOST))
