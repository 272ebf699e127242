"""jsonl: whatever its lines hold, a row with a text is scored and no digit of the others is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marwright.errors import DataError
from marwright.fleet.scoring import inputs, lines
from marwright.fleet.scoring.finding import Found
from marwright.fleet.scoring.json_tables import JSON, json_rows
from marwright.fleet.scoring.text_tables import Rows

LONG = 2**53
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, LONG - 1, LONG, LONG + 1, -LONG - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30]),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.sampled_from(["a", "2020-01-01", "\ud800"]),
    st.sampled_from([[1, 2**64], {"a": "\udfff"}, [1.5, LONG + 1]]),
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK", 40)


def rows_of(file: Path) -> tuple[list[dict[str, Any]], dict[int, str], dict[str, str]]:
    """The rows of a file, why some cannot be scored, and the types of its columns."""
    found = Found(str(file), ".jsonl", 0, "")
    plan = inputs.plan([found], ["text"])
    (block,) = plan.blocks
    rows: Rows = json_rows(file.read_bytes(), block.source, ("text",))
    assert rows.table.num_rows == plan.rows
    return rows.table.to_pylist(), rows.problems, dict(block.source.columns)


@given(values=st.lists(VALUES, min_size=1, max_size=6))
def test_a_value_is_read_to_its_last_digit_and_keeps_no_row_from_being_scored(
    values: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("values") / "a.jsonl"
    file.write_text("\n".join(json.dumps({"text": "tea", "x": value}) for value in values))

    rows, problems, types = rows_of(file)

    assert not problems
    for row, value in zip(rows, values, strict=True):
        if value is None:
            assert row["x"] is None
        elif types["x"] == JSON:
            assert json.loads(row["x"]) == value
        elif value == "\ud800":
            assert row["x"] == "\ufffd"
        else:
            assert row["x"] == value


@pytest.mark.parametrize(
    "line",
    [
        b'{"text": "tea", "\\ud800": 1}',
        b'{"text": "tea", "\xed\xa0\x80": 1}',
        b'{"text": "tea", "\xff": 1}',
        b'{"text": "tea", "x": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"text": "tea", "x": ' + b"1" * 5000 + b"}",
        b'["text"]',
        b'{"text": ',
        b"\x00",
    ],
)
def test_a_line_that_cannot_be_read_fails_alone(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "tea"}\n' + line + b'\n{"text": "of"}')

    rows, problems, _ = rows_of(tmp_path / "a.jsonl")

    assert [row["text"] for row in rows] == ["tea", None, "of"]
    assert problems == {1: "The line is not a JSON object"}


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ('{"title": "tea"}\n{"title": "of"}', r"b\.jsonl: no column 'text'; it has title\. Name the texts"),
        ('[{"text": "tea"}, {"text": "of"}]', r"b\.jsonl: no line of it is a JSON object"),
        ('[\n{"text": "tea"},\n{"text": "of"},\n]', r"b\.jsonl: no line of it is a JSON object"),
        ('{\n"text": "tea"\n}\n', r"b\.jsonl: no line of it is a JSON object"),
        ("5\n6", r"b\.jsonl: no line of it is a JSON object"),
        ("{}\n{}", r"b\.jsonl: no line of it is a JSON object"),
    ],
)
def test_a_file_without_the_column_is_named_beside_others_that_have_it(held: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "tea"}\n')
    (tmp_path / "b.jsonl").write_text(held)
    found = [Found(str(tmp_path / name), ".jsonl", 0, "") for name in ("a.jsonl", "b.jsonl")]
    for files in (found, found[1:]):
        with pytest.raises(DataError, match=message):
            inputs.plan(files, ["text"])
