"""Numbers as labels, in the types of each kind of table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reading_tables import found, refusal, written


def jsonl(path: Path, labels: list[Any]) -> Path:
    return written(path, "\n".join(json.dumps({"text": "t", "label": label}) for label in labels))


def xlsx(path: Path, labels: list[Any]) -> Path:
    book = openpyxl.Workbook()
    for row in [["text", "label"], *(["t", label] for label in labels)]:
        book.worksheets[0].append(row)
    book.save(path)
    return path


LABELS = st.lists(st.sampled_from([1, 2, 0.5, "1", "1.0", "2.0", "a", True]), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LABELS)
def test_a_spreadsheet_is_read_as_the_same_labels_in_json(tmp_path: Path, labels: list[Any]) -> None:
    tables = jsonl(tmp_path / "t.jsonl", labels), xlsx(tmp_path / "t.xlsx", labels)
    texts = {label for label in labels if isinstance(label, str)}
    kinds = {type(label) for label in labels}
    mixed = (bool in kinds and len(kinds) > 1) or any(f"{n}.0" in texts and n in labels for n in (1, 2))

    for table in tables:
        if mixed:
            assert "its labels are of several types" in refusal(table)
        else:
            assert [label for _, label in found(table).pairs] == [str(label) for label in labels]
    assert mixed or len(found(tables[0]).notes) == len(found(tables[1]).notes)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1e16, 10**16), (1e22, 10**22), (0.5, "0.50"), (1e16, "10000000000000000"), (100, "1e2"), (0.5, "5e-1")],
)
def test_two_names_of_one_number_are_told(tmp_path: Path, one: Any, other: Any) -> None:
    (note,) = found(jsonl(tmp_path / "t.jsonl", [one, other, 7])).notes

    assert note.endswith("are different labels; are they meant to be?")


@pytest.mark.parametrize("other", ["01", "2", "1.5", "1a", 2, 10])
def test_codes_and_other_numbers_are_no_such_names(tmp_path: Path, other: Any) -> None:
    assert found(jsonl(tmp_path / "t.jsonl", [1, other])).notes == []


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_numbers_of_few_bits_have_the_digits_they_were_written_with(tmp_path: Path, kind: str) -> None:
    values = [0.1, 0.2, 1.0, 2.5]
    pq.write_table(pa.table({"text": list("abcd"), "label": np.array(values, kind)}), tmp_path / "t.parquet")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.Value(kind)})
    datasets.Dataset.from_dict({"text": list("abcd"), "label": values}, features=features).save_to_disk(tmp_path / "d")

    for table in (tmp_path / "t.parquet", tmp_path / "d"):
        assert [label for _, label in found(table).pairs] == ["0.1", "0.2", "1", "2.5"]
        assert [note for note in found(table).notes if "the fewest digits" in note]


@pytest.mark.parametrize("index", [2, 7, -2])
def test_a_number_without_a_class_is_told_as_it_stands(tmp_path: Path, index: int) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    table = pa.table({"text": ["a", "b", "c"], "label": pa.array([0, index, -1], pa.int64())})
    pq.write_table(table.cast(features.arrow_schema), tmp_path / "t.parquet")

    told = refusal(tmp_path / "t.parquet")
    assert f"a number that is no class: there are 2, numbered from 0 (neg, pos), in row 2 ({index}); correct" in told
    assert "empty label in row 3" in told
    assert [row.label for row in found(tmp_path / "t.parquet", skip=True).left_out] == [str(index), ""]
