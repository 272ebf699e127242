"""Rows that end with another character than the first line: each is left out by itself, with its text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reading_tables import found, refusal, written

REASON = "line ends of another kind than in line 1"


def csv_row(text: str) -> str:
    return f"{text},b"


def quoted_row(text: str) -> str:
    return f'"{text}, and more","b"'


def object_of(text: str) -> str:
    return json.dumps({"text": text, "label": "b"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    good=st.integers(1, 3),
    bad=st.integers(2, 8),
    behind=st.integers(0, 2),
    row=st.sampled_from([csv_row, quoted_row, object_of]),
)
def test_every_row_of_a_line_is_counted(tmp_path: Path, good: int, bad: int, behind: int, row: object) -> None:
    assert callable(row)
    is_csv = row is not object_of
    lines = [row(f"t{n}") for n in range(good)]
    lines.append("\r".join(row(f"lost {n}") for n in range(bad)))
    lines += [row(f"u{n}") for n in range(behind)]
    content = "\n".join((["text,label"] if is_csv else []) + lines) + "\n"
    table = written(tmp_path / ("t.csv" if is_csv else "t.jsonl"), content)
    result = found(table, skip=True)

    assert len(result.rows) == good + behind
    assert [row.reason for row in result.left_out] == [REASON] * bad
    assert [row.text.split(",")[0] for row in result.left_out] == [f"lost {n}" for n in range(bad)]
    assert {row.label for row in result.left_out} == {"b"}
    assert refusal(table) == f"{REASON} in line {good + 1 + is_csv}; end all lines in the same way."


@pytest.mark.parametrize("line", ["a\rb", '"a\rb', '{"text": "a",\r "label"'])
def test_a_line_that_holds_no_rows_is_one(tmp_path: Path, line: str) -> None:
    suffix = "jsonl" if line[0] == "{" else "csv"
    good = object_of("x") if suffix == "jsonl" else "text,label\nx,b"

    assert len(found(written(tmp_path / f"t.{suffix}", f"{good}\n{line}\n"), skip=True).left_out) == 1


def test_a_return_inside_a_good_row_is_read_as_ever(tmp_path: Path) -> None:
    assert found(written(tmp_path / "t.csv", "text,label\na\rb,c\n")).pairs == [("a\rb", "c")]
    assert found(written(tmp_path / "t.jsonl", object_of("x") + '\n{"text": "a",\r"label": "b"}\n')).pairs[1:] == [
        ("a", "b")
    ]
