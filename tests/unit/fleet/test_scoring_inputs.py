"""Where the rows of tables begin and end, and what their columns are."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from marwright.errors import DataError
from marwright.fleet.scoring import inputs, lines
from marwright.fleet.scoring.arrow_tables import Forwards
from marwright.fleet.scoring.blocks import Source, Span
from marwright.fleet.scoring.finding import find
from marwright.fleet.scoring.json_tables import json_rows
from marwright.fleet.scoring.text_tables import read_bytes, separated_rows

CELLS = st.text(st.sampled_from('ab"\n,;é '), max_size=6)


def planned(*places: Path | str, texts: tuple[str, ...] = ("text",)) -> inputs.Plan:
    return inputs.plan(find([str(place) for place in places]), texts)


def rows_of(plan: inputs.Plan) -> list[dict[str, Any]]:
    """All rows, block by block."""
    rows: list[dict[str, Any]] = []
    for block in plan.blocks:
        source = block.source
        if source.kind in (".parquet", ".arrow"):
            table = Forwards(source).take(block.span)
        else:
            with Path(source.place).open("rb") as stream:
                data = read_bytes(stream, block.span)
            read = (
                json_rows(data, source, ("text",))
                if source.kind == ".jsonl"
                else separated_rows(data, source, ("text",))
            )
            table = read.table
        assert table.num_rows == block.span.rows
        rows += table.to_pylist()
    return rows


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "ROWS", 3)
    monkeypatch.setattr(lines, "CHUNK", 11)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_spans_of_a_csv_hold_the_rows_that_python_reads(rows: list[tuple[str, str]], end: str, quoted: bool) -> None:
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator=end, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerows(rows)
    data = table.getvalue().encode()
    source = Source(0, "a.csv", ".csv", (("a", "string"), ("b", "string")), ",")

    found = list(lines.spans(io.BytesIO(data), "a.csv", 3, ","))

    assert [span.rows for span in found[:-1]] == [3] * (len(found) - 1)
    assert [span.first for span in found] == [3 * at for at in range(len(found))]
    read = [separated_rows(data[span.start : span.stop], source, ()).table for span in found]
    assert [table.num_rows for table in read] == [span.rows for span in found]
    got = [tuple(row.values()) for table in read for row in table.to_pylist()]
    assert got == rows


@given(st.text(st.sampled_from('ab"\n\r,'), max_size=60))
def test_whatever_a_csv_holds_planner_and_reader_see_as_many_rows(text: str) -> None:
    data = text.encode()
    source = Source(0, "a.csv", ".csv", (("a", "string"), ("b", "string")), ",")
    try:
        found = list(lines.spans(io.BytesIO(data), "a.csv", 2, ","))
    except DataError:  # nobody closes a quotation mark
        return
    for span in found:
        assert separated_rows(data[span.start : span.stop], source, ()).table.num_rows == span.rows


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_blocks_of_a_large_job_are_larger_and_hold_the_same_rows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pyarrow.table({"text": [f"tea {at}" for at in range(29)]})
    if name.endswith("parquet"):
        parquet.write_table(table, tmp_path / name)
    elif name.endswith("csv"):
        (tmp_path / name).write_text("\n".join(["text", *table.column("text").to_pylist()]))
    else:
        (tmp_path / name).write_text("\n".join(map(json.dumps, table.to_pylist())))
    small = planned(tmp_path / name)
    monkeypatch.setattr(inputs, "LARGE_JOB", 29)
    large = planned(tmp_path / name)

    assert [block.span.rows for block in small.blocks] == [3] * 9 + [2]
    assert [block.span.rows for block in large.blocks] == [12, 12, 5]
    assert rows_of(large) == rows_of(small) == table.to_pylist()


def test_a_mark_that_nobody_closes_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,n\ntea,1\n"open,2\n' + "more,3\n" * 9)
    with pytest.raises(DataError, match=r"a\.csv: a row behind row 1 does not end"):
        planned(tmp_path / "a.csv")


def test_columns_of_a_csv_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        b'\xef\xbb\xbfsep=;\nid;text\n007;tea\n\n008;"a;\nb"\n009;5" pipe\n10;\xff\n11\n12;x;y\n'
    )
    plan = planned(tmp_path / "a.csv")
    assert plan.rows == 6
    assert plan.columns == ("id", "text")
    assert rows_of(plan) == [
        {"id": "007", "text": "tea"},
        {"id": "008", "text": "a;\nb"},
        {"id": "009", "text": '5" pipe'},
        {"id": "10", "text": "\ufffd"},
        {"id": "11", "text": None},
        {"id": "12", "text": "x"},
    ]
    (tmp_path / "b.tsv").write_text('text\tn\n"open\t1\ntea\t2\n')
    assert [row["text"] for row in rows_of(planned(tmp_path / "b.tsv"))] == ['"open', "tea"]


def test_types_of_json_are_those_of_all_lines(tmp_path: Path) -> None:
    values = [
        {"text": "tea", "n": 1, "x": 1, "when": "2020-01-01", "tags": ["a"], "mixed": "a"},
        {"text": 5, "n": 2, "x": 0.5, "mixed": 1, "late": True},
        {"text": None, "big": 2**70},
    ]
    written = [json.dumps(value) for value in values]
    (tmp_path / "a.jsonl").write_text("\n".join([written[0], "", "[1]", "{broken", *written[1:]]))
    plan = planned(tmp_path / "a.jsonl")
    assert plan.blocks[0].source.columns == (
        ("text", "string"),
        ("n", "int64"),
        ("x", "double"),
        ("when", "string"),
        ("tags", "json"),
        ("mixed", "json"),
        ("late", "bool"),
        ("big", plan.blocks[0].source.columns[-1][1]),
    )
    rows = rows_of(plan)
    assert [row["text"] for row in rows] == ["tea", None, None, "5", None]
    assert [row["x"] for row in rows] == [1.0, None, None, 0.5, None]
    assert (rows[0]["when"], rows[0]["tags"], rows[0]["mixed"], rows[3]["mixed"]) == ("2020-01-01", '["a"]', '"a"', "1")


@pytest.mark.parametrize("group", [1, 2, 5, 100])
def test_blocks_of_parquet_and_of_a_saved_dataset_are_read_in_any_order(tmp_path: Path, group: int) -> None:
    rows = [{"text": f"tea {at}", "n": at} for at in range(23)]
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=group)
    Dataset(table).save_to_disk(str(tmp_path / "saved"), num_shards=2)
    DatasetDict({"train": Dataset(table)}).save_to_disk(str(tmp_path / "splits"))
    assert rows_of(planned(tmp_path / "a.parquet")) == rows
    assert rows_of(planned(tmp_path / "saved")) == rows
    assert rows_of(planned(tmp_path / "splits")) == rows
    for kind in ("a.parquet", "splits"):
        source = planned(tmp_path / kind).blocks[0].source
        reader = Forwards(source)
        for first, count in ((5, 4), (9, 1), (20, 3), (0, 2), (2, 7), (21, 2), (0, 23)):
            assert reader.take(Span(first, count)).to_pylist() == rows[first : first + count]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,n\ntea,1\n")
    (tmp_path / "b.csv").write_text("text,m\ntea,1\n")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "d.xlsx").write_bytes(b"PK")
    (tmp_path / "e.csv").write_text("text,n\n")
    (tmp_path / "f.csv").write_text("")
    (tmp_path / "g.csv").write_bytes(b"\xff\xfet\0")
    (tmp_path / "h.csv").write_text("text,text\na,b\n")
    (tmp_path / "folder").mkdir()
    parquet.write_table(pyarrow.table({"text": [1]}), tmp_path / "n.parquet")
    for names, message in (
        (["none-*.csv"], r"none-\*\.csv: no such file"),
        (["a.csv", "b.csv"], r"b\.csv: its columns .* are not those of .*a\.csv"),
        (["c.parquet"], r"c\.parquet: damaged, or not what its name says"),
        (["d.xlsx"], r"d\.xlsx: cannot read this type of file"),
        (["e.csv"], r"e\.csv: no row in it\."),
        (["f.csv"], r"f\.csv: is empty"),
        (["g.csv"], r"g\.csv: is UTF-16"),
        (["h.csv"], r"h\.csv: two columns have the same name"),
        (["n.parquet"], r"n\.parquet: the column 'text' holds int64"),
        (["folder"], r"folder: not a folder that datasets saved"),
    ):
        with pytest.raises(DataError, match=message):
            planned(*(tmp_path / name for name in names))
    with pytest.raises(DataError, match=r"a\.csv: no column 'title'; it has text, n"):
        planned(tmp_path / "a.csv", texts=("title",))
    with pytest.raises(DataError, match=r"nonsense://a/b\.csv: cannot be opened"):
        planned("nonsense://a/b.csv")
