"""A refusal after cleaning says what cleaning removed and why, and advises nothing that is set already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from marwright.errors import DataError
from prepared import prepare

TRAIN = [f"thing {n},{'ab'[n % 2]},train" for n in range(30)]
TEST = [f"other {n},{'ab'[n % 2]},test" for n in range(20)]
VALIDATION = [f"more {n},{'ab'[n % 2]},validation" for n in range(20)]


def as_split(rows: list[str], split: str) -> list[str]:
    return [f"{row.rpartition(',')[0]},{split}" for row in rows]


def refusal(folder: Path, rows: list[str], *, is_split: bool = True, **settings: Any) -> str:
    table = folder / "t.csv"
    table.write_text("\n".join(["text,label,side", *rows]), encoding="utf-8")
    source = {"name": "table", "path": str(table), **({"split": "side"} if is_split else {})}
    with pytest.raises(DataError) as raised:
        prepare(source, folder, **settings)
    assert "\n" not in str(raised.value)
    return str(raised.value).replace(str(table), "t.csv")


SEEN = "20 because the text stands in train too (first t.csv line 32, because of t.csv line 2)."
OVERLAP = "give others, or set data.overlap to count."


@pytest.mark.parametrize("between", [[], VALIDATION])
def test_a_test_split_that_stands_in_train(tmp_path: Path, between: list[str]) -> None:
    told = refusal(tmp_path, [*TRAIN, *as_split(TRAIN[:20], "test"), *between])

    assert told == f"No test rows are left: {OVERLAP} Left out before: {SEEN}"


def test_counting_is_not_advised_to_who_counts(tmp_path: Path) -> None:
    told = refusal(tmp_path, [*TRAIN, *as_split(TRAIN, "test")], overlap="count")

    assert told.startswith(
        "No validation rows are left: the texts of those that were taken from train stand in test too."
    )
    assert "overlap" not in told


@pytest.mark.parametrize("choice", ["drop", "count_as_wrong"])
def test_labels_that_train_lacks(tmp_path: Path, choice: str) -> None:
    told = refusal(tmp_path, [*TRAIN, *VALIDATION, "x,c,test", "y,d,test"], unseen_labels=choice)

    assert told.startswith(
        "No test rows are left: give train rows of their labels. Left out before: 2 because the label"
    )
    assert "(first t.csv line 52)" in told


@pytest.mark.parametrize("is_split", [True, False])
def test_texts_that_all_contradict(tmp_path: Path, is_split: bool) -> None:
    rows = [f"thing {n},{label},{side}" for n in range(20) for side in ("train", "test") for label in "ab"]
    told = refusal(tmp_path, rows, is_split=is_split)

    assert told.startswith(f"No {'train ' * is_split}rows are left: correct the labels of texts that are the same.")
    assert "80 because the same text stands with another label" in told
    assert "(first t.csv line 2, because of t.csv line 3)" in told


def test_rows_that_are_all_duplicates(tmp_path: Path) -> None:
    told = refusal(tmp_path, ["tea,a,x", "tin,b,x"] * 30, is_split=False)

    assert "Too few rows to divide into 3 splits for: 'a' (1), 'b' (1). The first stands in t.csv line 2." in told
    assert told.endswith(
        "Left out before: 58 because the same text with the same label stands before (first t.csv line 4, because of "
        "t.csv line 2)."
    )
