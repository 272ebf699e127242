"""Rows that cannot be used are named all together, or left out one by one, each with its place, reason and text."""

from __future__ import annotations

import csv
from pathlib import Path

from marwright.files import read_json
from prepared import prepare
from reading_tables import found, refusal, written


def test_each_bad_row_of_a_csv_is_left_out_with_its_reason(tmp_path: Path) -> None:
    lines = ["text,label,side", "a,b,train", "e,f,test", " ,b,train", "c,,train", ",,train", "d", "e,f,test,g"]
    lines += ["h,i,later", "j\xff,b,test", "k\0,b,test", '"l"m,b,test']
    table = written(tmp_path / "t.csv", "\n".join(lines).encode("latin-1"))
    result = found(table, skip=True, split="side")

    assert result.pairs == [("a", "b"), ("e", "f")]
    assert [(row.place, row.reason, row.text, row.label) for row in result.left_out] == [
        (f"{table} line 4", "empty text", "", "b"),
        (f"{table} line 5", "empty label", "c", ""),
        (f"{table} line 6", "empty text; empty label", "", ""),
        (f"{table} line 7", "fewer fields than the 3 columns", "d", ""),
        (f"{table} line 8", "more fields than the 3 columns", "e", "f"),
        (f"{table} line 9", "unknown split", "h", "i"),
        (f"{table} line 10", "bytes that are not UTF-8", "j\N{REPLACEMENT CHARACTER}", "b"),
        (f"{table} line 11", "a NUL character in a text", "k\0", "b"),
        (f"{table} line 12", "quotation marks that do not match", '"l"m', "b"),
    ]
    assert (
        "left out: fewer fields than the 3 columns in line 7; complete the row or delete it; a text that holds a line "
        "break stands in quotation marks." in result.notes
    )


def test_each_bad_row_of_a_jsonl_is_left_out_with_its_reason(tmp_path: Path) -> None:
    lines = ['{"text": "a", "label": "b"}', '{"text": "c"', "[1, 2]", '{"text": "d", "label": []}']
    lines += ['{"text": 5, "label": "b"}', r'{"text": "\ud83d", "label": "b"}', '{"text": "e", "label": NaN}', "{}"]
    table = written(tmp_path / "t.jsonl", "\n".join(lines))

    assert [(row.reason, row.text, row.label) for row in found(table, skip=True).left_out] == [
        ("invalid JSON", '{"text": "c"', ""),
        ("JSON that is no object", "[1, 2]", ""),
        ("a label that is neither text nor a number", "d", "[]"),
        ("a text that is not a string", "5", "b"),
        ("half of a surrogate pair", "\N{REPLACEMENT CHARACTER}", "b"),
        ("empty label", "e", ""),
        ("empty text; empty label", "", ""),
    ]


def test_what_concerns_the_whole_table_is_refused_all_the_same(tmp_path: Path) -> None:
    assert "no column label" in refusal(written(tmp_path / "t.csv", "text,labels\na,b\n"), skip=True)
    assert "empty text in line 2" in refusal(written(tmp_path / "t.csv", "text,label\n,b\n"), skip=True)
    assert "1 because every field is empty" in refusal(written(tmp_path / "t.csv", "text,label\n,\n"), skip=True)
    assert "several types" in refusal(written(tmp_path / "t.jsonl", MIXED), skip=True)


MIXED = '{"text": "a", "label": 1}\n{"text": "b", "label": true}\n'


def test_the_station_writes_them_and_says_how_the_table_was_read(tmp_path: Path, capsys: object) -> None:
    lines = ["text;label"] + [f"text {n};{'ab'[n % 2]}" for n in range(40)] + ["no label;", "too;many;fields"]
    table = written(tmp_path / "table.csv", "\n".join(lines))
    prepared = prepare({"name": "table", "path": str(table)}, tmp_path, on_bad_rows="skip")

    with prepared.folder.left_out.open(encoding="utf-8", newline="") as file:
        left_out = [(row["place"], row["reason"], row["text"]) for row in csv.DictReader(file)]
    assert left_out == [
        (f"{table} line 42", "empty label", "no label"),
        (f"{table} line 43", "more fields than the 2 columns", "too"),
    ]
    card = read_json(prepared.folder.card)
    assert card["dropped"] == {"empty label": 1, "more fields than the 2 columns": 1}
    assert sum(card["rows"].values()) == 40
    assert card["notes"][0] == f"{table}: its fields are separated by ';'"
