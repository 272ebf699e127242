"""Fetching banking77: the table is the one that the figures are of, or there is none."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import fetch_banking77
from marwright.errors import DataError
from marwright.sources import TableSource, table
from real_tables import BANKING77, needs


@needs(BANKING77)
def test_the_original_files_give_the_table_that_the_figures_are_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BANKING77.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for split in ("train", "test"):
        _write(tmp_path / f"{split}.csv", [(row["text"], row["label"]) for row in rows if row["split"] == split])
    output = tmp_path / "data" / "banking77.csv"

    fetch_banking77.main([str(output), "--from", str(tmp_path)])

    assert output.read_bytes() == BANKING77.read_bytes()
    assert f"13,083 rows of {tmp_path}" in capsys.readouterr().out


def test_other_rows_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    for split in ("train", "test"):
        _write(tmp_path / f"{split}.csv", [("Where is my card?", "card_arrival")])
    output = tmp_path / "table.csv"

    with pytest.raises(SystemExit, match=r"has other rows than banking77's: sha256 \w+, not 74c5"):
        fetch_banking77.main([str(output), "--from", str(tmp_path)])

    assert not output.exists()


def test_a_place_without_the_files_is_named_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"cannot be read: .*Name a mirror or a folder"):
        fetch_banking77.main([str(tmp_path / "table.csv"), "--from", str(tmp_path / "nowhere")])


def test_a_build_without_the_table_says_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(
        DataError, match=r"no such file.* To fetch it: python \S+/fetch_banking77.py data/banking77.csv"
    ):
        table.read(TableSource(name="table", path="data/banking77.csv", text="text", label="label"))


def _write(file: Path, rows: list[tuple[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "category"), *rows])
