"""Splits of any name: mapped, left out, or listed with the setting to write; none disappears."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
from pydantic import ValidationError

from marwright.sources import TableSource
from reading_tables import found, refusal, written


def saved(folder: Path, **parts: list[int]) -> Path:
    """A folder of parts with these labels, -1 for none."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    made = {
        name: datasets.Dataset.from_dict(
            {"text": [f"{name} {n}" for n in range(len(labels))], "label": labels}, features=features
        )
        for name, labels in parts.items()
    }
    datasets.DatasetDict(made).save_to_disk(folder / "saved")
    return folder / "saved"


def sides(path: Path, **settings: Any) -> dict[str | None, int]:
    return dict(Counter(row.split for row in found(path, **settings).rows))


def test_a_split_without_labels_is_left_out_and_counted(tmp_path: Path) -> None:
    folder = saved(tmp_path, train=[0, 1], test=[1], unsupervised=[-1, -1, -1])
    result = found(folder)

    assert sides(folder) == {"train": 2, "test": 1}
    assert [(row.place, row.reason, row.text) for row in result.left_out] == [
        (f"{folder} row {n} of unsupervised", "the split unsupervised has no labels", f"unsupervised {n - 1}")
        for n in (1, 2, 3)
    ]
    assert "empty label in rows 1 of unsupervised" in refusal(folder, splits={"validation": "unsupervised"})


def test_other_names_are_listed_with_what_to_write_and_can_be_mapped(tmp_path: Path) -> None:
    folder = saved(tmp_path, train=[0, 1], validation_matched=[0], validation_mismatched=[1, 1], test_matched=[0])
    mapping = {"validation": "validation_matched", "test": "validation_mismatched"}

    assert refusal(folder) == (
        "unknown split validation_matched, validation_mismatched, test_matched; its splits are train (2 rows), "
        "validation_matched (1 rows), validation_mismatched (2 rows), test_matched (1 rows). Say in "
        "data.source.splits which is train, validation and test, for example {test: validation_matched}; those not "
        "named are left out."
    )
    assert sides(folder, splits=mapping) == {"train": 2, "validation": 1, "test": 2}
    assert [row.reason for row in found(folder, splits=mapping).left_out] == [
        "the split test_matched is not named in data.source.splits"
    ]
    both = {"test": ["validation_matched", "Validation_Mismatched"]}
    assert sides(folder, splits=both) == {"train": 2, "test": 3}


def test_a_table_without_test_rows_says_which_splits_there_are(tmp_path: Path) -> None:
    folder = saved(tmp_path, train=[0, 1], validation=[0])
    unlabelled = saved(tmp_path / "other", train=[0, 1], validation=[0], test=[-1])

    assert refusal(folder) == (
        "none of its splits is test; they are train (2 rows), validation (1 rows). Say in data.source.splits which is "
        "train, validation and test, for example {test: validation}; those not named are left out."
    )
    assert sides(folder, splits={"test": "validation"}) == {"train": 2, "test": 1}
    assert refusal(unlabelled).startswith(
        "none of its splits is test; they are train (2 rows), validation (1 rows), test (1 rows, left out). Say in "
        "data.source.splits which is train, validation and test, for example {test: validation}"
    )
    assert sides(unlabelled, splits={"test": "validation"}) == {"train": 2, "test": 1}


def test_a_name_that_does_not_occur_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, train=[0, 1], test=[0])

    assert refusal(folder, splits={"validation": "dev"}) == (
        "no split dev, as data.source.splits says; its splits are train (2 rows), test (1 rows)."
    )


def test_the_values_of_a_split_column_are_mapped_too(tmp_path: Path) -> None:
    values = ["TRAIN", "train", "holdout", "dev", "extra", "test"]
    table = written(tmp_path / "t.csv", "text,label,s\n" + "".join(f"t{n},a,{v}\n" for n, v in enumerate(values)))
    mapping = {"test": "holdout"}

    assert "unknown split in lines 4 ('holdout'), 6 ('extra')" in refusal(table, split="s")
    assert "data.source.splits" in refusal(table, split="s")
    assert sides(table, split="s", splits=mapping) == {"train": 2, "test": 1, "validation": 1}
    assert [row.reason for row in found(table, split="s", splits=mapping).left_out] == [
        "the split extra is not named in data.source.splits",
        "the split test is not named in data.source.splits",
    ]
    assert "data.source.splits needs data.source.split" in refusal(table, splits=mapping)
    trained = written(tmp_path / "o.csv", "text,label,s\na,b,train\nc,d,dev\n")
    assert "none of its splits is test; they are train (1 rows), dev (1 rows)" in refusal(trained, split="s")


def test_the_only_part_keeps_its_name_if_splits_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    part = datasets.Dataset.from_dict({"text": ["a"], "label": ["b"]})
    monkeypatch.setattr(datasets, "load_dataset", lambda path, name=None: datasets.DatasetDict(train=part))

    assert [row.split for row in found("owner/goods").rows] == [None]
    assert "no split dev" in refusal("owner/goods", splits={"validation": "dev"})


@pytest.mark.parametrize(
    ("splits", "told"),
    [({"dev": "validation"}, "as in {validation: dev}"), ({"train": "a", "test": ["b", "a"]}, "a is named twice")],
)
def test_a_mapping_that_means_nothing(splits: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TableSource.model_validate({"name": "table", "path": "t.csv", "splits": splits})


@pytest.mark.parametrize("empty", [" ", ""])
def test_a_split_without_a_name_can_be_mapped(tmp_path: Path, empty: str) -> None:
    table = written(tmp_path / "t.csv", f"text,label,s\na,b,train\nc,d,{empty}\ne,f,test\n,,\n")

    assert sides(table, split="s", splits={"train": ["train", ""]}) == {"train": 2, "test": 1}
    assert sides(table, split="s", splits={"validation": ""}) == {"train": 1, "validation": 1, "test": 1}
    assert "unknown split in line 3 ('')" in refusal(table, split="s")


def test_a_saved_folder_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    folder = saved(tmp_path, train=[0, 1], test=[1])
    (folder / "test" / "data-00000-of-00001.arrow").unlink()
    told = refusal(folder)

    assert told.startswith("datasets saved this folder, but cannot read it here: [Errno 2] No such file or directory")
    assert "not a folder saved by datasets" not in told
