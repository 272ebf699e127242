"""Cleaning: whatever would make a test split lie is taken out and counted."""

from __future__ import annotations

from collections import Counter

import pytest

from marwright.config import CustomsSource, DataConfig, SplitConfig
from marwright.data.cleaning import CONTRADICTION, DUPLICATE, SEEN_IN_TRAIN, remove_duplicates, treat_overlap
from marwright.data.rows import Row
from marwright.data.station import clean_and_divide


def table(*cells: tuple[str, str] | tuple[str, str, str]) -> list[Row]:
    """Rows of text, label and, where given, split; numbered as in a file."""
    return [
        Row(c[0], c[1], f"t.csv line {line}", split=c[2] if len(c) > 2 else None) for line, c in enumerate(cells, 2)
    ]


def places(rows: list[Row]) -> list[int]:
    return [int(row.place.rpartition(" ")[2]) for row in rows]


def config(overlap: str) -> DataConfig:
    return DataConfig.model_validate({"source": CustomsSource(name="customs"), "overlap": overlap})


def test_of_equal_rows_the_first_stays() -> None:
    dropped: Counter[str] = Counter()
    kept = remove_duplicates(table(("tea", "a"), ("tin", "b"), ("tea", "a"), ("tea", "a")), dropped)

    assert places(kept) == [2, 3]
    assert dropped == {DUPLICATE: 2}


def test_a_text_with_two_labels_keeps_its_most_frequent_one() -> None:
    dropped: Counter[str] = Counter()
    kept = remove_duplicates(table(("tea", "a"), ("tea", "b"), ("tin", "c"), ("tea", "b")), dropped)

    assert [(row.text, row.label) for row in kept] == [("tea", "b"), ("tin", "c")]
    assert dropped == {CONTRADICTION: 1, DUPLICATE: 1}


def test_of_equally_frequent_labels_the_first_stays() -> None:
    dropped: Counter[str] = Counter()
    kept = remove_duplicates(table(("tea", "b"), ("tea", "a")), dropped)

    assert places(kept) == [2]
    assert dropped == {CONTRADICTION: 1}


def test_texts_that_differ_in_case_or_spelling_are_not_duplicates() -> None:
    rows = table(("tea", "a"), ("Tea", "a"), ("tea.", "b"))
    dropped: Counter[str] = Counter()

    assert remove_duplicates(rows, dropped) == rows
    assert not dropped


def test_every_row_is_kept_or_counted() -> None:
    rows = table(*((f"t{i % 7}", f"l{i % 3}") for i in range(50)))
    dropped: Counter[str] = Counter()
    kept = remove_duplicates(rows, dropped)

    assert len({row.text for row in kept}) == len(kept) == 7
    assert len(kept) + dropped.total() == 50


def test_given_splits_do_not_vote_on_each_others_labels() -> None:
    rows = table(("tea", "a", "train"), ("tea", "b", "test"), ("tea", "b", "test"))
    kept = remove_duplicates(rows, Counter())

    assert [(row.split, row.label) for row in kept] == [("train", "a"), ("test", "b")]


def test_texts_that_stand_in_train_leave_validation_and_test() -> None:
    rows = table(("tea", "a", "train"), ("tea", "a", "test"), ("tea", "b", "validation"), ("tin", "b", "test"))
    dropped: Counter[str] = Counter()
    kept, seen = treat_overlap(rows, "remove", dropped)

    assert places(kept) == [2, 5]
    assert seen == 2
    assert dropped == {SEEN_IN_TRAIN: 2}


def test_counting_the_overlap_removes_nothing() -> None:
    rows = table(("tea", "a", "train"), ("tea", "a", "test"), ("tin", "b", "test"))
    dropped: Counter[str] = Counter()

    assert treat_overlap(rows, "count", dropped) == (rows, 1)
    assert not dropped


@pytest.mark.parametrize("with_validation", [True, False])
def test_counting_keeps_the_given_test_rows_exactly_as_they_are(with_validation: bool) -> None:
    train = table(*((f"train {i}", "ab"[i % 2], "train") for i in range(40)), ("train 1", "a", "train"))
    # Duplicates, contradictions and a text of train: a published figure includes them all.
    test = table(("x", "a", "test"), ("x", "a", "test"), ("x", "b", "test"), ("train 0", "a", "test"))
    validation = table(("v", "b", "validation"), ("v", "b", "validation")) if with_validation else []

    divided, dropped, seen = clean_and_divide(train + test + validation, config("count"), seed=7)

    assert [row for row in divided if row.split == "test"] == test
    if with_validation:
        assert [row for row in divided if row.split == "validation"] == validation
    assert seen == 1
    assert dropped == {CONTRADICTION: 1}
    assert len(divided) == 40 + len(test) + len(validation)


def test_removing_leaves_no_text_on_two_sides_of_train() -> None:
    train = table(*((f"text {i}", "ab"[i % 2], "train") for i in range(40)))
    test = table(*((f"text {i}", "ab"[i % 2], "test") for i in range(30, 60)))

    divided, dropped, seen = clean_and_divide(train + test, config("remove"), seed=7)

    trained = {row.text for row in divided if row.split == "train"}
    assert not trained & {row.text for row in divided if row.split != "train"}
    assert dropped[SEEN_IN_TRAIN] == seen == 10


def test_counting_keeps_texts_of_test_out_of_the_validation_rows_taken_from_train() -> None:
    train = table(*((f"text {i}", "ab"[i % 2], "train") for i in range(40)))
    test = table(*((f"text {i}", "ab"[i % 2], "test") for i in range(10, 50)))

    divided, _, seen = clean_and_divide(train + test, config("count"), seed=7)

    sides = {split: {row.text for row in divided if row.split == split} for split in ("train", "validation", "test")}
    assert seen == 30
    assert sides["validation"]
    assert not sides["validation"] & sides["test"]
    assert len(sides["test"]) == 40


def test_undivided_rows_are_cleaned_before_they_are_divided() -> None:
    rows = table(*((f"text {i % 30}", "ab"[i % 2]) for i in range(90)))
    settings = config("remove").model_copy(update={"split": SplitConfig(validation=0.2, test=0.2)})

    divided, dropped, seen = clean_and_divide(rows, settings, seed=7)

    assert len({row.text for row in divided}) == len(divided) == 30
    assert (dropped[DUPLICATE], seen) == (60, 0)
