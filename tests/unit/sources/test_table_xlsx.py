"""xlsx: a sheet's values as a person sees them."""

from __future__ import annotations

import datetime
import sys
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest

from marwright.sources import TableSource
from marwright.sources.table import read
from reading_tables import found, refusal


def workbook(path: Path, *rows: list[Any], **others: list[list[Any]]) -> Path:
    """A workbook with these rows in its first sheet."""
    book = openpyxl.Workbook()
    sheets = {"Tickets": list(rows), **others}
    book.remove(book.worksheets[0])
    for title, content in sheets.items():
        sheet = book.create_sheet(title)
        for row in content:
            sheet.append(row)
    book.save(path)
    return path


HEADER = ["text", "label"]


def test_numbers_are_read_as_their_digits_and_empty_rows_are_none(tmp_path: Path) -> None:
    rows = [["a", 1.0], [], ["b", 1], [501, "c"], [2.5, 3], [None, None], ["d", "1"]]
    table = workbook(tmp_path / "t.xlsx", [], HEADER, *rows)

    assert found(table).pairs == [("a", "1"), ("b", "1"), ("501", "c"), ("2.5", "3"), ("d", "1")]
    assert [row.place.removeprefix(f"{table} ") for row in found(table).rows] == [f"row {n}" for n in (3, 5, 6, 7, 9)]
    assert found(table).notes == [
        "the label 1 is written in several ways and was read as one: a whole number (row 3), text (row 9)"
    ]


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    table = workbook(tmp_path / "t.xlsx", HEADER, ["a", "b"], Old=[HEADER, ["c", "d"]])

    assert found(table).pairs == [("a", "b")]
    assert found(table).notes == ["its first sheet was read; data.source.sheet chooses among Tickets, Old"]
    assert found(table, sheet="Old").pairs == [("c", "d")]
    assert found(table, sheet="Old").notes == []
    assert refusal(table, sheet="New") == "no sheet New; its sheets are Tickets, Old."


def test_what_a_person_would_have_to_look_at(tmp_path: Path) -> None:
    rows = [["a", datetime.datetime(2024, 1, 2)], [datetime.date(2024, 1, 2), "b"], ["c", "#N/A"], ["=A1", "d"]]
    rows += [["e", None], [True, "f"]]
    table = workbook(tmp_path / "t.xlsx", HEADER, *rows)

    assert [line.split(";")[0] for line in refusal(table).splitlines()] == [
        "a date as label in row 2",
        "a text that is not a string in rows 3, 7",
        "the error #N/A of a formula in row 4",
        "a formula without its value in row 5",
        "empty label in row 6",
    ]
    assert "no column team; its columns are text, label. They stand in row 1 of the sheet" in refusal(
        table, label="team"
    )


def test_a_formula_gives_the_value_it_had_when_saved(tmp_path: Path) -> None:
    table = workbook(tmp_path / "t.xlsx", HEADER, ["=1+1", "b"])
    with ZipFile(table) as old:
        files = {name: old.read(name) for name in old.namelist()}
    sheet = files["xl/worksheets/sheet1.xml"]
    assert b"<v></v>" in sheet or b"<v />" in sheet or b"<v/>" in sheet
    for empty in (b"<v></v>", b"<v />", b"<v/>"):
        sheet = sheet.replace(empty, b"<v>2</v>", 1)
    # A wrong size of the sheet, as some programs write it, must not cut rows or columns.
    sheet = sheet.replace(b'<dimension ref="A1:B2"', b'<dimension ref="A1"')
    with ZipFile(table, "w", ZIP_DEFLATED) as new:
        for name, content in {**files, "xl/worksheets/sheet1.xml": sheet}.items():
            new.writestr(name, content)

    assert found(table).pairs == [("2", "b")]


ESCAPES = {
    "_x000D_\n": "\r\n",
    "_x0009_": "\t",
    "_x005F_x000D_": "_x000D_",
    "_x00e9_": "é",
    "_x_": "_x_",
    "_xD83D_": "_xD83D_",
}


@pytest.mark.parametrize(("written", "meant"), ESCAPES.items())
def test_characters_that_a_workbook_escapes_are_read(tmp_path: Path, written: str, meant: str) -> None:
    table = workbook(tmp_path / "t.xlsx", [f"te{written}xt", "label"], [f"a{written}b", f"l{written}m"], ["c", "d"])
    result = found(table, text=f"te{meant}xt")

    assert result.pairs == [(f"a{meant}b", f"l{meant}m"), ("c", "d")]
    assert len(result.notes) == (written != meant)
    assert all(
        "cells of 1 rows (first in row 2) hold characters as spreadsheets escape them" in n for n in result.notes
    )


@pytest.mark.parametrize(
    ("cell", "name"), [(datetime.date(2024, 1, 2), "2024-01-02 00:00:00"), (True, "True"), (1.0, "1")]
)
def test_a_column_whose_name_is_no_text_can_be_named(tmp_path: Path, cell: Any, name: str) -> None:
    table = workbook(tmp_path / "t.xlsx", ["text", cell], ["a", "b"])

    assert name in refusal(table)
    assert found(table, label=name).pairs == [("a", "b")]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = workbook(tmp_path / "t.xlsx", HEADER, ["a", "b"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    assert refusal(table).startswith("reading xlsx needs the package openpyxl: pip install 'marwright[xlsx]'")


def test_a_damaged_workbook_is_told(tmp_path: Path) -> None:
    table = workbook(tmp_path / "t.xlsx", HEADER, ["a", "b"])
    table.write_bytes(table.read_bytes()[:-40])

    assert refusal(table).startswith("not a readable xlsx workbook")
    assert refusal(workbook(tmp_path / "e.xlsx")) == "holds no rows; check data.source.path."


def test_a_workbook_is_closed_however_much_of_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = workbook(tmp_path / "t.xlsx", HEADER, ["a", "b"], ["c", "d"])
    kept = []
    load = openpyxl.load_workbook
    monkeypatch.setattr(openpyxl, "load_workbook", lambda *given, **how: kept.append(load(*given, **how)) or kept[-1])
    rows = read(TableSource(name="table", path=str(table))).rows
    filters = list(warnings.filters)

    next(iter(rows))
    assert warnings.filters == filters  # what is warned of between two rows is not lost
    del rows
    assert len(kept) == 2
    assert all(book._archive.fp is None for book in kept)
