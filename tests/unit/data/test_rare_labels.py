"""A rare label is told with a place, and where all are rare, why."""

from __future__ import annotations

from typing import Any

import pytest

from marwright.config import SplitConfig
from marwright.data.splitting import divide
from marwright.errors import DataError
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row
from marwright.tasks import SINGLE_LABEL, TASKS


def refusal(rows: list[Row], **settings: Any) -> str:
    with pytest.raises(DataError) as raised:
        divide(rows, TASKS[SINGLE_LABEL], SplitConfig.model_validate(settings), 7, LeftOut())
    return str(raised.value)


def rows_of(labels: list[str], groups: list[str] | None = None) -> list[Row]:
    return [
        Row(f"t{n}", label, f"t.csv line {n + 2}", group=groups[n] if groups else None)
        for n, label in enumerate(labels)
    ]


def test_a_stray_line_is_found_by_its_place() -> None:
    told = refusal(rows_of(["a", "b"] * 10 + ["by anna"] + ["a", "b"] * 10))

    assert told.startswith(
        "Too few rows to divide into 3 splits for: 'by anna' (1). The first stands in t.csv line 22."
    )
    assert told.endswith("Add rows, or set data.split.rare_labels to train_only or drop.")


RARE = ["error", "train_only", "drop"]


@pytest.mark.parametrize("rare", RARE)
def test_a_column_of_numbers_or_ids_is_no_column_of_classes(rare: str) -> None:
    told = refusal(rows_of([f"id{n}" for n in range(40)]), rare_labels=rare)

    assert told.endswith("each has a label of its own: name the column of the classes in data.source.label.")
    assert "train_only" not in told


@pytest.mark.parametrize("rare", RARE)
@pytest.mark.parametrize("groups", [["one"] * 40, ["a", "b"] * 20])
def test_groups_that_hold_whole_labels_are_blamed(rare: str, groups: list[str]) -> None:
    rows = rows_of(["a", "b"] * 20, groups)
    told = refusal(rows, rare_labels=rare)

    assert told.endswith("add groups, or set data.split.by_group: false if their rows may be torn apart.")
    assert "train_only" not in told
    divide(rows, TASKS[SINGLE_LABEL], SplitConfig.model_validate({"by_group": False}), 7, LeftOut())
