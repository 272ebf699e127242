"""Rows with more or fewer fields than the header, and headers at the wrong delimiter: each cure can be followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reading_tables import found, refusal, written

PAIRS = [("a", "b"), ("c", "d"), ("e", "f")]


def table_of(folder: Path, header: str, row: str) -> Path:
    return written(folder / "t.csv", "\n".join([header, *(row.format(text, label) for text, label in PAIRS)]))


@pytest.mark.parametrize(
    ("header", "row", "there", "cure", "cured"),
    [
        ("text,label", '"1",{},{}', 3, "write 'row,' at the beginning of the header; else put", "row,text,label"),
        ("text,label", "{},{},", 3, "write ',' at the end of the header too", "text,label,"),
        ("text,label,", "{},{}", 2, "delete the delimiter at the end of the header", "text,label"),
        ("text,label", "{};{}", 1, "separate its fields by ',' as the header's, not by ';'", "text;label"),
        ("text,label,a,b", "{},{}", 2, "complete the row or delete it", "text,label"),
    ],
)
def test_if_all_rows_differ_alike_the_header_is_blamed(
    tmp_path: Path, header: str, row: str, there: int, cure: str, cured: str
) -> None:
    for skip in (False, True):
        told = refusal(table_of(tmp_path, header, row), skip=skip)
        assert told.startswith(f"each of its 3 rows has {there} fields, but the header has {header.count(',') + 1}; ")
        assert cure in told
    assert found(table_of(tmp_path, cured, row)).pairs == PAIRS


@pytest.mark.parametrize(
    ("row", "cure"),
    [
        ("x", "fewer fields than the 2 columns in line 3; complete the row or delete it"),
        ("\0\0", "fewer fields than the 2 columns in line 3; complete the row or delete it"),
        ("\x1a", "fewer fields than the 2 columns in line 3; complete the row or delete it"),
        ('"x,y"', "fewer fields than the 2 columns in line 3; take away the quotation marks around the whole line"),
        ("x;y", "fewer fields than the 2 columns in line 3; separate its fields by ',' as the header's, not by ';'"),
        ("x,y,", "more fields than the 2 columns in line 3; delete a comma at the end of the line"),
        ("x,y,z", "more fields than the 2 columns in line 3; put texts that hold a comma in quotation marks"),
    ],
)
def test_a_single_row_has_its_own_cure(tmp_path: Path, row: str, cure: str) -> None:
    assert refusal(written(tmp_path / "t.csv", f"text,label\na,b\n{row}\nc,d\n")).startswith(cure)


@pytest.mark.parametrize("delimiter", "^~:#/&_-%=!$*")
@pytest.mark.parametrize("blank", ["", " "])
def test_names_that_are_not_separated_show_their_delimiter(tmp_path: Path, delimiter: str, blank: str) -> None:
    between = f"{blank}{delimiter}{blank}"
    table = written(tmp_path / "t.csv", f"id{between}text{between}label\n1{between}a{between}b\n")

    assert f"If {delimiter!r} separates its fields, write data.source.delimiter: {delimiter!r}." in refusal(table)
    assert found(table, delimiter=delimiter).pairs == [("a", "b")]


def test_names_in_one_pair_of_quotation_marks_are_told(tmp_path: Path) -> None:
    told = refusal(written(tmp_path / "t.csv", '"text,label"\n"a,b"\n'))

    assert told.endswith(
        "The whole line stands in quotation marks, so that it is one field: take them away, in all lines."
    )
    assert "Did you mean" not in told
    assert "not separated" in refusal(written(tmp_path / "t.csv", "text label\na b\n"))
