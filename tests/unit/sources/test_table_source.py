"""Tables: every type gives the same rows, and everything wrong is named with its line and its cure."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from marwright.sources import TableSource
from marwright.sources.rows import Row
from marwright.sources.table import read
from reading_tables import found, refusal, written


def rows(path: Path | str, **settings: Any) -> list[Row]:
    return list(read(TableSource.model_validate({"name": "table", "path": str(path), **settings})).rows)


def pairs(path: Path | str, **settings: Any) -> list[tuple[str, str]]:
    return [(row.text, row.label) for row in rows(path, **settings)]


def test_csv_with_everything_csv_allows(tmp_path: Path) -> None:
    table = written(
        tmp_path / "goods.csv",
        "\ufefftext,label,note\r\n"
        '"Chair, red\nfor two",seats,\r\n'
        "\r\n"
        '"A ""good"" lamp",lights,x\r\n'
        " Sofa\u2028bed , seats ,\r\n",
    )
    found = rows(table)

    assert [(row.text, row.label) for row in found] == [
        ("Chair, red\nfor two", "seats"),
        ('A "good" lamp', "lights"),
        ("Sofa\u2028bed", "seats"),
    ]
    assert [row.place for row in found] == [f"{table} line {n}" for n in (2, 5, 6)]


def test_lines_are_counted_as_an_old_mac_ends_them(tmp_path: Path) -> None:
    assert "in line 3;" in refusal(written(tmp_path / "t.csv", "text,label\ra,b\r,b\r"))


def test_tsv_jsonl_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    wanted = [("Chair, red", "seats"), ("Lamp", "lights")]
    tsv = written(tmp_path / "t.tsv", "label\ttext\nseats\tChair, red\nlights\tLamp\n")
    lines = [json.dumps({"text": text, "label": label}) for text, label in wanted]
    jsonl = written(tmp_path / "t.JSONL", "\n\n".join(lines))
    parquet = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": [t for t, _ in wanted], "label": [n for _, n in wanted]}), parquet)

    assert pairs(tsv) == pairs(jsonl) == pairs(parquet) == wanted


def test_several_text_columns_are_joined_and_empty_ones_leave_no_gap(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", "title,brand,colour,label\nChair,,red,seats\nSofa,Rivet,blue,seats\n")

    assert [row.text for row in rows(table, text=["brand", "title", "colour"])] == ["Chair red", "Rivet Sofa blue"]


def test_split_and_group_columns(tmp_path: Path) -> None:
    values = ("train", "validation", "Valid", "val", "dev", "test ")
    table = written(
        tmp_path / "t.csv", "text,label,side,family\n" + "".join(f"t{n},a,{v},f{n}\n" for n, v in enumerate(values))
    )
    found = rows(table, split="side", group="family")

    assert [row.split for row in found] == ["train", *["validation"] * 4, "test"]
    assert [row.group for row in found] == [f"f{n}" for n in range(6)]
    assert {row.split for row in rows(table)} == {None}


def test_number_labels_become_text(tmp_path: Path) -> None:
    table = written(tmp_path / "t.jsonl", '{"text": "a", "label": 3}\n{"text": "b", "label": 0.5}\n')

    assert pairs(table) == [("a", "3"), ("b", "0.5")]


def test_a_relative_path_starts_at_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "t.csv", "text,label\na,b\n")
    monkeypatch.chdir(tmp_path)

    assert rows("t.csv")[0].place == "t.csv line 2"


# What datasets saves and the hub gives


@pytest.fixture
def divided() -> datasets.DatasetDict:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    parts = {"train": (["a", "b"], [1, 0]), "test": (["c"], [1])}
    return datasets.DatasetDict(
        {
            name: datasets.Dataset.from_dict({"text": texts, "label": labels}, features=features)
            for name, (texts, labels) in parts.items()
        }
    )


def test_a_saved_folder_gives_class_names_and_its_splits(tmp_path: Path, divided: datasets.DatasetDict) -> None:
    divided.with_format("numpy").save_to_disk(tmp_path / "saved")
    found = rows(tmp_path / "saved")

    assert [(row.text, row.label, row.split) for row in found] == [
        ("a", "yes", "train"),
        ("b", "no", "train"),
        ("c", "yes", "test"),
    ]
    assert found[2].place == f"{tmp_path / 'saved'} row 1 of test"


def test_a_saved_part_has_no_split(tmp_path: Path, divided: datasets.DatasetDict) -> None:
    divided["train"].save_to_disk(tmp_path / "part")

    assert [(row.label, row.split) for row in rows(tmp_path / "part")] == [("yes", None), ("no", None)]


def test_a_parquet_file_written_by_datasets_keeps_its_class_names(
    tmp_path: Path, divided: datasets.DatasetDict
) -> None:
    divided["train"].to_parquet(tmp_path / "t.parquet")

    assert pairs(tmp_path / "t.parquet") == [("a", "yes"), ("b", "no")]


def test_a_hub_id_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch, divided: datasets.DatasetDict) -> None:
    asked: list[tuple[str, str | None]] = []

    def hub(path: str, name: str | None = None) -> datasets.DatasetDict:
        asked.append((path, name))
        return divided

    monkeypatch.setattr(datasets, "load_dataset", hub)

    assert len(rows("owner/goods")) == len(rows("owner/goods", subset="english")) == 3
    assert asked == [("owner/goods", None), ("owner/goods", "english")]


def test_the_only_part_of_a_hub_dataset_is_no_split(
    monkeypatch: pytest.MonkeyPatch, divided: datasets.DatasetDict
) -> None:
    only = datasets.DatasetDict(train=divided["train"])
    monkeypatch.setattr(datasets, "load_dataset", lambda path, name=None: only)

    assert {row.split for row in rows("owner/goods")} == {None}


def test_a_hub_split_of_another_name_and_a_row_without_label(
    monkeypatch: pytest.MonkeyPatch, divided: datasets.DatasetDict
) -> None:
    odd = datasets.DatasetDict(train=divided["train"], unsupervised=divided["test"])
    monkeypatch.setattr(datasets, "load_dataset", lambda path, name=None: odd)
    assert "unknown split unsupervised" in refusal("owner/goods")

    labels = iter([1, -1])
    half = datasets.concatenate_datasets([divided["test"]] * 2).map(lambda row: {"label": next(labels)})
    kept = datasets.DatasetDict(train=divided["train"], test=half)
    monkeypatch.setattr(datasets, "load_dataset", lambda path, name=None: kept)
    assert "empty label in row 2 of test;" in refusal("owner/goods")


# What can be wrong


@pytest.mark.parametrize("path", ["goods.csv", "data/goods.parquet", "./goods", "data/more/goods"])
def test_a_missing_file(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(path) == f"no such file; relative paths start at {tmp_path}."


@pytest.mark.parametrize("error", [ConnectionError, ValueError, datasets.exceptions.DatasetNotFoundError])
def test_what_neither_this_folder_nor_the_hub_has(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def hub(path: str, name: str | None = None) -> None:
        raise error("Couldn't reach it.\nTry this, try that.")

    monkeypatch.setattr(datasets, "load_dataset", hub)
    assert refusal("owner/goods") == (
        "no such file or folder here, and the Hugging Face hub could not give it: Couldn't reach it."
    )


def test_a_missing_column_lists_those_there_are_and_guesses(tmp_path: Path) -> None:
    told = "no column text, label; its columns are Title, Labels, id. Did you mean Labels?"
    jsonl = written(tmp_path / "t.jsonl", '{"Title": "a", "Labels": "b"}\n{"id": 3}\n')
    parquet = tmp_path / "t.parquet"
    pq.write_table(pa.table({"Title": ["a"], "Labels": ["b"], "id": [3]}), parquet)

    assert refusal(written(tmp_path / "t.csv", "Title,Labels,id\n")) == told
    assert refusal(jsonl) == told
    assert refusal(parquet) == told
    assert "no column side;" in refusal(jsonl, text="Title", label="Labels", split="side")


def test_all_faulty_rows_are_reported_together(tmp_path: Path) -> None:
    lines = ["text,label"] + ["a,b", " ,b", "a,", "a", "a,b,c", "a,\udcffb"] + [",b"] * 7
    table = written(tmp_path / "t.csv", "\n".join(lines).encode(errors="surrogateescape"))

    assert refusal(table).splitlines() == [
        "empty text in lines 3, 8, 9, 10, 11 and 3 more; fill it in or delete the row.",
        "empty label in line 4; fill it in or delete the row.",
        "fewer fields than the 2 columns in line 5; complete the row or delete it; a text that holds a line break "
        "stands in quotation marks.",
        "more fields than the 2 columns in line 6; put texts that hold a comma in quotation marks.",
        "bytes that are not UTF-8 in line 7; save the file as UTF-8, or name its encoding: with "
        "data.source.encoding: cp1252 the first would read 'ÿb'; if that is wrong, it is another, such as cp1251 or "
        "shift_jis.",
    ]


def test_bytes_that_are_not_utf8_are_found_inside_a_row_of_several_lines(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", b'text,label\n"one\ntw\xff\nthree",b\n')

    assert refusal(table).startswith("bytes that are not UTF-8 in line 3;")


@pytest.mark.parametrize("rest", ['"never closed,b\nc,d\n', '"not "doubled" in here",b\n'])
def test_broken_quotation_names_the_line_where_the_row_starts(tmp_path: Path, rest: str) -> None:
    told = refusal(written(tmp_path / "t.csv", f"text,label\na,b\n{rest}"))

    assert told.startswith("the row that starts in line 3 breaks off (")
    assert "quotation mark" in told


def test_unknown_splits_are_quoted(tmp_path: Path) -> None:
    told = refusal(written(tmp_path / "t.csv", "text,label,s\na,b,train\na,b,eval\na,b,\n"), split="s")

    assert told.startswith("unknown split in lines 3 ('eval'), 4 (''); write train, validation (or valid, val, dev)")


def test_faulty_json_lines(tmp_path: Path) -> None:
    lines = ['{"text": "a", "label": "b"}', '{"text": ', '["a", "b"]', '{"text": 5, "label": "b"}']
    lines += ['{"text": "a", "label": ["b"]}', '{"text": null, "label": NaN}', r'{"text": "\ud83d", "label": "b"}']

    assert [line.split(";")[0] for line in refusal(written(tmp_path / "t.jsonl", "\n".join(lines))).splitlines()] == [
        "invalid JSON in line 2 (column 9)",
        "JSON that is no object in line 3",
        "a text that is not a string in line 4",
        "a label that is neither text nor a number in line 5",
        "empty text in line 6",
        "empty label in line 6",
        "half of a surrogate pair in line 7",
    ]


def test_parquet_rows_are_counted(tmp_path: Path) -> None:
    parquet = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": ["a"] * 3000 + [None], "label": ["b"] * 3001}), parquet)

    assert refusal(parquet).startswith("empty text in row 3001;")


def test_files_that_are_not_what_their_name_says(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    assert refusal(written(tmp_path / "t.parquet", "text,label\n")).startswith("not a readable parquet file")
    assert refusal(tmp_path / "folder").startswith("not a folder saved by datasets")
    assert refusal(written(tmp_path / "t.docx", "")).startswith("cannot read this type of file; give one of .csv")
    assert refusal(written(tmp_path / "t.xlsx", "text,label\n")).startswith("not a readable xlsx workbook")
    assert refusal(written(tmp_path / "t.csv", b"PAR1...")).startswith("is no .csv file but a parquet file: name it")


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_a_table_without_rows(tmp_path: Path, content: str) -> None:
    assert refusal(written(tmp_path / "t.csv", content)).startswith("holds no rows")


def test_a_column_that_occurs_twice(tmp_path: Path) -> None:
    assert refusal(written(tmp_path / "t.csv", "text,label,text\n")).startswith("column text occurs twice")


def test_a_date_is_a_group_and_what_names_none_is_a_fault(tmp_path: Path) -> None:
    parquet = tmp_path / "t.parquet"
    days = [date(2024, 1, 2), datetime(2024, 1, 2, 3), None]
    for values, groups in (
        (days[:1] + days[2:], ["2024-01-02", None]),
        (days[1:], ["2024-01-02T03:00:00", None]),
        ([1.0, 2.0], ["1", "2"]),
    ):
        pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"], "g": pa.array(values)}), parquet)
        assert [row.group for row in found(parquet, group="g").rows] == groups
    for strange in ([["a"], ["b"]], [{"a": 1}, {"a": 2}], [b"a", b"b"]):
        pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"], "g": pa.array(strange)}), parquet)
        assert "a group that is neither text nor a number nor a date in rows 1, 2" in refusal(parquet, group="g")


@pytest.mark.parametrize("value", [-(2**62), 2**62])
def test_a_time_that_python_cannot_hold_names_its_column(tmp_path: Path, value: int) -> None:
    parquet = tmp_path / "t.parquet"
    column = pa.array([value], type=pa.timestamp("us"))
    pq.write_table(pa.table({"text": ["a"], "label": ["x"], "when": column}), parquet)

    assert "the column when holds a value that Python cannot hold" in refusal(parquet, group="when")
    assert found(parquet).pairs == [("a", "x")]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"text": ["a", "label"]}, "the column label is label and text"),
        ({"split": "label"}, "the column label is the split"),
        ({"split": "text"}, "the column text is the split"),
        ({"group": "label"}, "the column label is label and group"),
        ({"group": "g", "split": "g"}, "the column g is the split"),
    ],
)
def test_a_column_is_one_thing(columns: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TableSource.model_validate({"name": "table", "path": "t.csv", **columns})
    # Rows of one text, or of one brand that is a part of it, may well stand on one side.
    TableSource.model_validate({"name": "table", "path": "t.csv", "text": ["a", "b"], "group": "b"})
