"""Labels with types: one class is one label, however its rows write it, or the table is refused."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marwright.sources.tables.labels import name_of
from reading_tables import found, refusal, written


def lines(*labels: Any) -> str:
    return "".join(json.dumps({"text": f"t{n}", "label": label}) + "\n" for n, label in enumerate(labels))


def test_a_number_and_its_digits_are_one_label_and_that_is_told(tmp_path: Path) -> None:
    table = written(tmp_path / "t.jsonl", lines(1, 1.0, "1", 0, 2))
    result = found(table)

    assert [label for _, label in result.pairs] == ["1", "1", "1", "0", "2"]
    assert result.notes == [
        "the label 1 is written in several ways and was read as one: a whole number (line 1), a number with a fraction "
        "(line 2), text (line 3)"
    ]


@pytest.mark.parametrize("labels", [(True, 1), (False, "false"), (1, 0, True, 1.0, "1"), ("yes", True)])
def test_true_and_false_beside_other_labels_are_refused(tmp_path: Path, labels: tuple[Any, ...]) -> None:
    told = refusal(written(tmp_path / "t.jsonl", lines(*labels)))

    assert told.startswith("its labels are of several types: ")
    assert "true or false (line " in told
    assert "Write all of them in one way" in told


def test_a_number_beside_a_text_with_a_fraction_is_refused(tmp_path: Path) -> None:
    assert "several types" in refusal(written(tmp_path / "t.jsonl", lines(1, "1.0")))
    assert found(written(tmp_path / "t.jsonl", lines(1, "2.0", "spam"))).notes == []


def test_labels_that_differ_by_a_fraction_or_by_capitals_are_told(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", "text,label\na,1\nb,1.0\nc,2\nd,Obst\ne,obst\nf,a  b\ng,a b\n")

    assert [label for _, label in found(table).pairs] == ["1", "1.0", "2", "Obst", "obst", "a  b", "a b"]
    assert found(table).notes == [
        f"{labels} are different labels; are they meant to be?" for labels in ("1, 1.0", "Obst, obst", "a  b, a b")
    ]


def test_only_true_and_false_are_labels(tmp_path: Path) -> None:
    assert [label for _, label in found(written(tmp_path / "t.jsonl", lines(True, False))).pairs] == ["True", "False"]


def test_whole_numbers_that_pandas_made_floats(tmp_path: Path) -> None:
    labels = pa.array([1.0, 0.0, None], pa.float64())
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": labels}), tmp_path / "t.parquet")
    result = found(tmp_path / "t.parquet", skip=True)

    assert result.pairs == [("a", "1"), ("b", "0")]
    assert [row.reason for row in result.left_out] == ["empty label"]


def test_a_date_as_label_is_refused(tmp_path: Path) -> None:
    labels = [datetime.date(2024, 1, 2)]
    pq.write_table(pa.table({"text": ["a"], "label": labels}), tmp_path / "t.parquet")

    assert refusal(tmp_path / "t.parquet").startswith("a date as label in row 1; make the column text")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, ""),
        (float("nan"), ""),
        (Decimal("NaN"), ""),
        (float("inf"), None),
        (b"a", None),
        ([1], None),
        (-0.0, "0"),
        (1e16, "1e+16"),
        (10**30, str(10**30)),
        (Decimal("2.50"), "2.50"),
        (Decimal("2.0"), "2"),
        (" a ", "a"),
    ],
)
def test_labels_as_text(value: object, name: str | None) -> None:
    assert name_of(value) == name


VALUES = st.lists(st.sampled_from([0, 1, 2, 0.0, 1.0, 0.5, "0", "1", "a", True, False]), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
def test_labels_that_mean_one_class_are_never_two(tmp_path: Path, labels: list[Any]) -> None:
    table = written(tmp_path / "t.jsonl", lines(*labels))
    kinds = {type(label) for label in labels}

    if bool in kinds and len(kinds) > 1:
        assert "several types" in refusal(table)
        return
    result = found(table)
    expected = {str(label) if isinstance(label, bool | str) else f"{label:g}" for label in labels}
    assert {label for _, label in result.pairs} == expected
    by_label: dict[str, set[type]] = {}
    for label, (_, name) in zip(labels, result.pairs, strict=True):
        by_label.setdefault(name, set()).add(type(label))
    assert bool(result.notes) == any(len(kinds) > 1 for kinds in by_label.values())
