"""Writes a table and reads it, for tests of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from marwright.errors import DataError
from marwright.sources import TableSource
from marwright.sources.left_out import LeftOutRow
from marwright.sources.rows import Row
from marwright.sources.table import read


class Found(NamedTuple):
    """What was read, left out, and said; ``notes`` without the path they start with."""

    rows: list[Row]
    left_out: list[LeftOutRow]
    notes: list[str]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(row.text, row.label) for row in self.rows]


def found(path: Path | str, *, skip: bool = False, **settings: Any) -> Found:
    """Read a table to its end."""
    reading = read(TableSource.model_validate({"name": "table", "path": str(path), **settings}), skip=skip)
    rows = list(reading.rows)
    return Found(rows, reading.left_out.rows, [note.removeprefix(f"{path}: ") for note in reading.notes])


def refusal(path: Path | str, *, skip: bool = False, **settings: Any) -> str:
    """What the user is told, without the path each line starts with."""
    with pytest.raises(DataError) as raised:
        found(path, skip=skip, **settings)
    return "\n".join(line.removeprefix(f"{path}: ") for line in str(raised.value).splitlines())


def written(path: Path, content: str | bytes) -> Path:
    """A file with these contents, text as UTF-8."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
