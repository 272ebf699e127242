"""Rows that nobody can answer rightly count in every figure of test, and in no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marwright.config import ArchiveConfig
from marwright.data.labels import check_labels, treat_unseen_labels
from marwright.errors import DataError
from marwright.explore.rows import split_figures
from marwright.files import stable_json, write_text
from marwright.metrics.classification import scores
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row
from marwright.tasks import SINGLE_LABEL, TASKS
from marwright.workspace import DataFolder

TASK = TASKS[SINGLE_LABEL]
WRONG = st.dictionaries(st.sampled_from("xyz"), st.integers(1, 4))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30), WRONG)
def test_scores_are_those_of_a_classifier_that_gives_such_rows_a_label_of_no_row(
    rows: list[tuple[int, int]], wrong: dict[str, int]
) -> None:
    right, answered = (np.array(column) for column in zip(*rows, strict=True))
    logits = np.eye(12)[answered]
    # The same table with these labels in it, and a last label that only their rows are given.
    labels = [*right, *(6 + at for at, count in enumerate(wrong.values()) for _ in range(count))]
    of_all = np.concatenate([logits, np.repeat(np.eye(12)[[11]], sum(wrong.values()), axis=0)])
    # The first five of equal ones are the lowest ids, of which no such row has one.
    expected = scores(of_all, np.array(labels))

    assert scores(logits, right, wrong) == pytest.approx(expected)


@given(st.integers(1, 20), st.integers(0, 5))
def test_a_candidate_is_held_against_its_teacher_on_all_rows(rows: int, wrong: int) -> None:
    labels = np.zeros(rows, dtype=np.int64)
    good, bad = np.eye(2, dtype=np.float32)[labels], np.eye(2, dtype=np.float32)[1 - labels]
    figures = split_figures(TASK, bad, good, labels, counted_as_wrong={"x": wrong} if wrong else {})

    assert figures.rows == rows + wrong
    assert figures.drop == pytest.approx(rows / (rows + wrong))
    assert figures.interval[1] <= 0


def test_only_test_has_such_rows_and_older_runs_have_none(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    write_text(data.card, stable_json({"counted_as_wrong": {"silk": 2}}))
    assert data.counted_as_wrong() == {"silk": 2}
    assert data.counted_as_wrong("validation") == data.counted_as_wrong("train") == {}
    write_text(data.card, stable_json({}))
    assert data.counted_as_wrong() == {}


CELLS = st.tuples(st.sampled_from("abcde"), st.sampled_from(["train", "validation", "test"]))


@given(st.lists(CELLS, max_size=40), st.sampled_from(["refuse", "drop", "count_as_wrong"]))
def test_no_row_is_lost_and_no_label_is_without_train(cells: list[tuple[str, str]], choice: str) -> None:
    rows = [Row(f"text {at}", label, f"line {at}", split=split) for at, (label, split) in enumerate(cells)]
    left_out = LeftOut()
    kept, wrong = treat_unseen_labels(rows, TASK, choice, left_out)  # type: ignore[arg-type]
    trained = {label for label, split in cells if split == "train"}

    assert sorted([row.place for row in kept] + [row.place for row in left_out.rows]) == sorted(r.place for r in rows)
    assert {row.label for row in kept} <= trained or choice == "refuse"
    official = [label for label, split in cells if split == "test" and label not in trained]
    assert sum(wrong.values()) == (len(official) if choice == "count_as_wrong" else 0)
    assert all(row.split != "train" for row in rows if row not in kept)


def test_the_model_card_says_so() -> None:
    from figures_of_a_card import CARD
    from marwright.archive.model_card import model_card

    data = CARD["data"] | {"counted_as_wrong": {"silk": 2, "tin": 4}}
    text = model_card(CARD | {"data": data}, ["a", "b"], ArchiveConfig(), sizes={})

    assert "6 have a label that no training row has, and count as wrong" in text


def test_what_cannot_be_tested_at_all_is_still_refused() -> None:
    rows = [Row(f"{split} {label}", label, "t", split=split) for label in "ab" for split in ("train", "validation")]
    kept, wrong = treat_unseen_labels([*rows, Row("x", "c", "t", split="test")], TASK, "count_as_wrong", LeftOut())

    assert wrong == {"c": 1}
    with pytest.raises(DataError, match="No test rows are left"):
        check_labels(kept, TASK)
