"""Tables as people have them: each row is read as it was meant, or left out with a reason, or the table is refused.

``MARWRIGHT_DIRTY_TABLES=1000`` tries as many tables; a few are tried without it.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from dirty_tables import DirtyTable, dirty_table
from marwright.errors import DataError
from marwright.sources import TableSource
from marwright.sources.rows import Reading, Row
from marwright.sources.table import read

TABLES = int(os.environ.get("MARWRIGHT_DIRTY_TABLES", "120"))
BLOCK = 20


def attempt(table: DirtyTable) -> tuple[Reading, list[Row]] | str:
    """What is read, or the sentence of a refusal; any other error is a fault."""
    try:
        reading = read(TableSource.model_validate(table.settings), skip=table.skip)
        return reading, list(reading.rows)
    except DataError as error:
        return str(error)


def damage(file: Path, seed: int) -> None:
    """Change a few bytes of a file, and often cut it."""
    dice, content = random.Random(seed), bytearray(file.read_bytes())
    for _ in range(dice.randint(1, 4) if content else 0):
        content[dice.randrange(len(content))] = dice.randrange(256)
    file.write_bytes(content[: dice.randint(0, len(content))] if dice.random() < 0.3 else content)


def outcome(table: DirtyTable) -> str:
    """Read a table and check what must hold for every one; returns what became of it."""
    result = attempt(table)
    if isinstance(result, str):
        assert result.startswith(str(table.path))
        assert not (table.readable and table.meant and (table.skip or not table.bad)), result
        return "refused"
    reading, rows = result
    left_out = len(reading.left_out.rows)
    found = Counter((row.text, row.label) for row in rows)
    strange = found - table.meant
    assert not strange or (not table.certain and (reading.notes or "quoting" in table.settings)), list(strange)[:3]
    total = len(rows) + left_out
    assert total == table.rows if table.exact else total >= table.rows or reading.notes, (total, table.rows)
    if table.exact and table.readable:
        assert len(rows) == table.meant.total()
    return "read" if not left_out else "read, rows left out"


@pytest.mark.parametrize("first", range(0, TABLES, BLOCK))
def test_no_row_is_lost_in_silence(first: int, tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(first, min(first + BLOCK, TABLES)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        table = dirty_table(seed, folder)
        try:
            outcomes[outcome(table)] += 1
            damage(table.path, seed)
            attempt(table)
        except Exception as error:
            error.add_note(f"table {seed}: {table.settings}, skip={table.skip}")
            raise
    record_property("outcomes", dict(outcomes))
