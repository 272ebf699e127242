"""Values of every type in parts of every format: kept, said in words that JSON and csv have, or refused by name."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.dataset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from marwright.errors import DataError
from marwright.fleet.scoring import score
from marwright.fleet.scoring.columns import fits_csv, is_text, texts_of
from marwright.fleet.scoring.finding import find
from marwright.fleet.scoring.inputs import plan
from marwright.fleet.scoring.json_values import json_values
from marwright.fleet.scoring.parts import encoded

FAR = 2**62


def whole(kind: pyarrow.DataType, *numbers: int) -> pyarrow.Array:
    """An array of a type that is kept as 64-bit numbers, whatever they mean in it."""
    return pyarrow.concat_arrays([pyarrow.array(numbers, pyarrow.int64()).view(kind), pyarrow.nulls(1, kind)])


def damaged(kind: pyarrow.DataType) -> pyarrow.Array:
    """Texts, one of which is no UTF-8."""
    bytes_like = {"string": pyarrow.binary(), "large_string": pyarrow.large_binary()}
    return pyarrow.array([b"tea", b"caf\xe9", None], bytes_like.get(str(kind), pyarrow.binary_view())).view(kind)


UNITS = ("s", "ms", "us", "ns")
LEAVES = [
    *(
        whole(pyarrow.timestamp(unit, zone), 1, FAR, -FAR)
        for unit in UNITS
        for zone in (None, "UTC", "Mars/X", "+05:30")
    ),
    *(whole(pyarrow.duration(unit), 1, FAR, -FAR) for unit in UNITS),
    whole(pyarrow.date64(), 0, FAR // 86_400_000 * 86_400_000),
    pyarrow.array([0, 2**31 - 1, -(2**31), None], pyarrow.int32()).view(pyarrow.date32()),
    whole(pyarrow.time64("ns"), 1),
    pyarrow.array([(1, 2, 3), None], pyarrow.month_day_nano_interval()),
    pyarrow.array([float("nan"), float("inf"), 0.5, None]),
    pyarrow.array([np.float16("nan"), np.float16(1)], pyarrow.float16()),
    pyarrow.array([2**64 - 1, None], pyarrow.uint64()),
    pyarrow.array([None, b"\xff"]),
    pyarrow.array([b"ab", None], pyarrow.binary(2)),
    pyarrow.array([None], pyarrow.decimal128(38, 10)),
    *(damaged(kind) for kind in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view())),
    damaged(pyarrow.string()).dictionary_encode(),
    pyarrow.nulls(2),
    pyarrow.array([True, None]),
]
NESTED = [
    made
    for leaf in LEAVES
    if not pyarrow.types.is_dictionary(leaf.type)
    for made in (
        pyarrow.ListArray.from_arrays([0, len(leaf)], leaf),
        pyarrow.StructArray.from_arrays([leaf], ["a"]),
        pyarrow.MapArray.from_arrays([0, 1], pyarrow.array(["k"]), leaf[:1]),
    )
]


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("column", LEAVES + NESTED, ids=lambda column: str(column.type))
def test_a_part_of_every_type_is_json_a_csv_or_refused(column: pyarrow.Array, tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["tea"] * len(column), "x": column})

    lines = encoded(table, "jsonl").decode().splitlines()
    assert [json.loads(line, parse_constant=no_constant)["text"] for line in lines] == ["tea"] * len(column)
    if fits_csv(column.type):
        rows = list(csv.reader(io.StringIO(encoded(table, "csv").decode())))
        assert [row[0] for row in rows] == ["text", *["tea"] * len(column)]
        return
    try:
        parquet.write_table(table, tmp_path / "a.parquet")
    except pyarrow.ArrowException:  # parquet has no such type
        return
    todo = plan(find([str(tmp_path / "a.parquet")]), ["text"])
    assert not fits_csv(todo.types["x"])


def test_values_say_what_they_were() -> None:
    assert json_values(whole(pyarrow.time64("ns"), 1)) == ["00:00:00.000000001", None]
    assert json_values(whole(pyarrow.timestamp("us", "Mars/X"), 0)) == ["1970-01-01 00:00:00.000000Z", None]
    assert json_values(whole(pyarrow.duration("s"), FAR)) == [FAR, None]
    assert json_values(pyarrow.array([b"\x00\xff", None])) == ["AP8=", None]
    assert json_values(pyarrow.array([float("nan"), 0.5])) == [None, 0.5]
    pairs = pyarrow.array([[("k", 1)], None, []], pyarrow.map_(pyarrow.string(), pyarrow.int64()))
    assert json_values(pairs[1:]) == [None, []]
    assert json_values(pairs) == [[["k", 1]], None, []]


@given(
    st.lists(
        st.lists(st.dictionaries(st.just("a"), st.integers(-9, 9) | st.none(), min_size=1) | st.none()) | st.none()
    )
)
def test_what_json_has_is_as_pyarrow_reads_it(values: list[Any]) -> None:
    kind = pyarrow.list_(pyarrow.struct([("a", pyarrow.int64())]))
    column = pyarrow.array(values, kind)
    assert json_values(column) == column.to_pylist()
    assert json_values(column[1:]) == column[1:].to_pylist()


@given(st.lists(st.none() | st.binary(max_size=4)))
def test_texts_are_python_s_own_whatever_bytes_they_hold(values: list[bytes | None]) -> None:
    texts, problems = texts_of(pyarrow.array(values, pyarrow.binary()).view(pyarrow.string()))

    assert texts == [None if one is None else one.decode("utf-8", "replace") for one in values]
    for at, one in enumerate(values):
        if at in problems:
            with pytest.raises(UnicodeDecodeError):
                (one or b"").decode()
        else:
            assert one is None or one.decode() == texts[at]


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()], ids=str)
def test_a_text_that_is_no_utf8_fails_alone(
    form: str, kind: pyarrow.DataType, tiny_archive: Path, tmp_path: Path
) -> None:
    parquet.write_table(pyarrow.table({"text": damaged(kind), "other": damaged(kind)}), tmp_path / "a.parquet")
    parquet.write_table(pyarrow.table({"text": ["tea"] * 3, "other": damaged(kind)}), tmp_path / "b.parquet")

    found = score(tiny_archive, tmp_path / "a.parquet", tmp_path / "a", workers=1, format=form)
    assert (found.rows, found.errors) == (3, 2)  # one has no text
    assert score(tiny_archive, tmp_path / "b.parquet", tmp_path / "b", workers=1, format=form).errors == 0
    (part,) = (tmp_path / "a").glob("part-*")
    if form != "parquet":
        assert "caf\ufffd" in part.read_text(encoding="utf-8")
    assert b"The row is not valid UTF-8" in (part.read_bytes() if form != "parquet" else _errors(part))


def _errors(part: Path) -> bytes:
    return repr(parquet.read_table(part, columns=["error"]).to_pydict()).encode()


@pytest.mark.parametrize(
    "column",
    [
        pyarrow.array([["tea"]]),
        pyarrow.array([{"text": "tea", "top_k": 1}]),
        pyarrow.array([b"tea"]),
        pyarrow.array([1]),
        pyarrow.nulls(1),
        pyarrow.array([1]).dictionary_encode(),
        pyarrow.array([[("text", "tea")]], pyarrow.map_(pyarrow.string(), pyarrow.string())),
    ],
    ids=lambda column: str(column.type),
)
def test_only_a_column_of_texts_is_scored(column: pyarrow.Array, tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: the column 'text' holds .*, and no texts"):
        plan(find([str(tmp_path / "a.parquet")]), ["text"])
    assert not is_text(column.type)


def test_a_csv_refuses_a_column_before_anything_is_scored(tiny_archive: Path, tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": ["tea"], "raw": [b"ok"], "n": [[1]]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: a csv cannot hold the column 'raw' of binary, 'n' of list"):
        score(tiny_archive, tmp_path / "a.parquet", tmp_path / "out", workers=1, format="csv")
    assert score(tiny_archive, tmp_path / "a.parquet", tmp_path / "out", workers=1).scored == 1
