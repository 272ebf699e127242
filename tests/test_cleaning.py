"""Cleaning: whatever would make a test split lie is taken out and counted."""

from __future__ import annotations

import pytest

from marwright.config import CustomsSource, DataConfig, SplitConfig
from marwright.data.cleaning import CONTRADICTION, DUPLICATE, SEEN_IN_TRAIN, remove_duplicates, treat_overlap
from marwright.data.left_out import LeftOut
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
    left_out = LeftOut()
    kept = remove_duplicates(table(("tea", "a"), ("tin", "b"), ("tea", "a"), ("tea", "a")), left_out)

    assert places(kept) == [2, 3]
    assert left_out.counts == {DUPLICATE: 2}


def test_a_text_with_two_labels_keeps_its_most_frequent_one() -> None:
    left_out = LeftOut()
    kept = remove_duplicates(table(("tea", "a"), ("tea", "b"), ("tin", "c"), ("tea", "b")), left_out)

    assert [(row.text, row.label) for row in kept] == [("tea", "b"), ("tin", "c")]
    assert left_out.counts == {CONTRADICTION: 1, DUPLICATE: 1}


def test_of_equally_frequent_labels_the_first_stays() -> None:
    left_out = LeftOut()
    kept = remove_duplicates(table(("tea", "b"), ("tea", "a")), left_out)

    assert places(kept) == [2]
    assert left_out.counts == {CONTRADICTION: 1}


def test_texts_that_differ_in_case_or_spelling_are_not_duplicates() -> None:
    rows = table(("tea", "a"), ("Tea", "a"), ("tea.", "b"))
    left_out = LeftOut()

    assert remove_duplicates(rows, left_out) == rows
    assert not left_out.rows


def test_every_row_is_kept_or_counted() -> None:
    rows = table(*((f"t{i % 7}", f"l{i % 3}") for i in range(50)))
    left_out = LeftOut()
    kept = remove_duplicates(rows, left_out)

    assert len({row.text for row in kept}) == len(kept) == 7
    assert len(kept) + len(left_out.rows) == 50


def test_given_splits_do_not_vote_on_each_others_labels() -> None:
    rows = table(("tea", "a", "train"), ("tea", "b", "test"), ("tea", "b", "test"))
    kept = remove_duplicates(rows, LeftOut())

    assert [(row.split, row.label) for row in kept] == [("train", "a"), ("test", "b")]


def test_texts_that_stand_in_train_leave_validation_and_test() -> None:
    rows = table(("tea", "a", "train"), ("tea", "a", "test"), ("tea", "b", "validation"), ("tin", "b", "test"))
    left_out = LeftOut()
    kept, seen = treat_overlap(rows, "remove", left_out)

    assert places(kept) == [2, 5]
    assert seen == 2
    assert left_out.counts == {SEEN_IN_TRAIN: 2}


def test_counting_the_overlap_removes_nothing() -> None:
    rows = table(("tea", "a", "train"), ("tea", "a", "test"), ("tin", "b", "test"))
    left_out = LeftOut()

    assert treat_overlap(rows, "count", left_out) == (rows, 1)
    assert not left_out.rows


@pytest.mark.parametrize("with_validation", [True, False])
def test_counting_keeps_the_given_test_rows_exactly_as_they_are(with_validation: bool) -> None:
    train = table(*((f"train {i}", "ab"[i % 2], "train") for i in range(40)), ("train 1", "a", "train"))
    # Duplicates, contradictions and a text of train: a published figure includes them all.
    test = table(("x", "a", "test"), ("x", "a", "test"), ("x", "b", "test"), ("train 0", "a", "test"))
    validation = table(("v", "b", "validation"), ("v", "b", "validation")) if with_validation else []

    left_out = LeftOut()
    divided, seen = clean_and_divide(train + test + validation, config("count"), 7, left_out)

    assert [row for row in divided if row.split == "test"] == test
    if with_validation:
        assert [row for row in divided if row.split == "validation"] == validation
    assert seen == 1
    assert left_out.counts == {CONTRADICTION: 1}
    assert len(divided) == 40 + len(test) + len(validation)


def test_removing_leaves_no_text_on_two_sides_of_train() -> None:
    train = table(*((f"text {i}", "ab"[i % 2], "train") for i in range(40)))
    test = table(*((f"text {i}", "ab"[i % 2], "test") for i in range(30, 60)))

    left_out = LeftOut()
    divided, seen = clean_and_divide(train + test, config("remove"), 7, left_out)

    trained = {row.text for row in divided if row.split == "train"}
    assert not trained & {row.text for row in divided if row.split != "train"}
    assert left_out.counts[SEEN_IN_TRAIN] == seen == 10


def test_counting_keeps_texts_of_test_out_of_the_validation_rows_taken_from_train() -> None:
    train = table(*((f"text {i}", "ab"[i % 2], "train") for i in range(40)))
    test = table(*((f"text {i}", "ab"[i % 2], "test") for i in range(10, 50)))

    divided, seen = clean_and_divide(train + test, config("count"), 7, LeftOut())

    sides = {split: {row.text for row in divided if row.split == split} for split in ("train", "validation", "test")}
    assert seen == 30
    assert sides["validation"]
    assert not sides["validation"] & sides["test"]
    assert len(sides["test"]) == 40


def test_undivided_rows_are_cleaned_before_they_are_divided() -> None:
    rows = table(*((f"text {i % 30}", "ab"[i % 2]) for i in range(90)))
    settings = config("remove").model_copy(update={"split": SplitConfig(validation=0.2, test=0.2)})

    left_out = LeftOut()
    divided, seen = clean_and_divide(rows, settings, 7, left_out)

    assert len({row.text for row in divided}) == len(divided) == 30
    assert (left_out.counts[DUPLICATE], seen) == (60, 0)
