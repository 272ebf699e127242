"""Cleaning: whatever would make a test split lie is taken out and counted."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marwright.config import DataConfig, SplitConfig
from marwright.data.cleaning import (
    CONTRADICTION,
    DUPLICATE,
    SEEN_IN_TRAIN,
    keep_out_of_validation,
    remove_duplicates,
    treat_overlap,
)
from marwright.data.station import clean_and_divide
from marwright.pretrained.identity import folded
from marwright.sources import CustomsSource
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row
from marwright.tasks import SINGLE_LABEL, TASKS


def table(*cells: tuple[str, str] | tuple[str, str, str]) -> list[Row]:
    """Rows of text, label and, where given, split; numbered as in a file."""
    return [
        Row(c[0], c[1], f"t.csv line {line}", split=c[2] if len(c) > 2 else None) for line, c in enumerate(cells, 2)
    ]


def places(rows: list[Row]) -> list[int]:
    return [int(row.place.rpartition(" ")[2]) for row in rows]


def same(rows: list[Row]) -> dict[str, bytes]:
    """Texts are the same one where they are the same but for capitals and blanks."""
    return {row.text: folded(row.text).encode() for row in rows}


def deduplicated(rows: list[Row], left_out: LeftOut) -> list[Row]:
    return remove_duplicates(rows, same(rows), left_out)


def cleaned(rows: list[Row], settings: DataConfig, left_out: LeftOut) -> tuple[list[Row], int]:
    division, seen = clean_and_divide(rows, TASKS[SINGLE_LABEL], settings, same(rows), 7, left_out)
    return division.rows, seen


def config(overlap: str) -> DataConfig:
    return DataConfig.model_validate({"source": CustomsSource(name="customs"), "overlap": overlap})


def test_of_equal_rows_the_first_stays() -> None:
    left_out = LeftOut()
    kept = deduplicated(table(("tea", "a"), ("tin", "b"), ("tea", "a"), ("tea", "a")), left_out)

    assert places(kept) == [2, 3]
    assert left_out.counts == {DUPLICATE: 2}


def test_a_text_with_two_labels_keeps_its_most_frequent_one() -> None:
    left_out = LeftOut()
    kept = deduplicated(table(("tea", "a"), ("tea", "b"), ("tin", "c"), ("tea", "b")), left_out)

    assert [(row.text, row.label) for row in kept] == [("tea", "b"), ("tin", "c")]
    assert left_out.counts == {CONTRADICTION: 1, DUPLICATE: 1}


def test_neither_side_of_a_tie_stays() -> None:
    left_out = LeftOut()
    kept = deduplicated(table(("tea", "b"), ("tin", "c"), ("tea", "a")), left_out)

    assert places(kept) == [3]
    assert left_out.counts == {CONTRADICTION: 2}
    assert [(row.place, row.because_of) for row in left_out.rows] == [
        ("t.csv line 2", "t.csv line 4"),
        ("t.csv line 4", "t.csv line 2"),
    ]


def test_many_rows_without_a_majority_take_no_time() -> None:
    half = 40_000
    rows = table(*[("tea", "a")] * half, *[("tea", "b")] * half)
    left_out = LeftOut()
    began = time.process_time()

    assert deduplicated(rows, left_out) == []
    assert time.process_time() - began < 10
    assert {(row.label, row.because_of) for row in left_out.rows} == {
        ("a", f"t.csv line {half + 2}"),
        ("b", "t.csv line 2"),
    }


def test_a_label_of_half_the_rows_is_no_majority() -> None:
    left_out = LeftOut()

    assert deduplicated(table(("tea", "a"), ("tea", "a"), ("tea", "b"), ("tea", "c")), left_out) == []
    assert left_out.counts == {CONTRADICTION: 4}


def test_what_is_the_same_text_the_caller_says() -> None:
    rows = table(("tea", "a"), ("Tea ", "a"), ("tea.", "b"))
    left_out = LeftOut()

    assert places(deduplicated(rows, left_out)) == [2, 4]
    assert [(row.place, row.reason, row.because_of) for row in left_out.rows] == [
        ("t.csv line 3", DUPLICATE, "t.csv line 2")
    ]
    assert remove_duplicates(rows, {row.text: row.text.encode() for row in rows}, LeftOut()) == rows


def test_every_row_is_kept_or_counted() -> None:
    rows = table(*((f"t{i % 7}", f"l{i % 9 // 7}") for i in range(50)))
    left_out = LeftOut()
    kept = deduplicated(rows, left_out)

    assert len({row.text for row in kept}) == len(kept) == 7
    assert len(kept) + len(left_out.rows) == 50


def test_given_splits_do_not_vote_on_each_others_labels() -> None:
    rows = table(("tea", "a", "train"), ("tea", "b", "test"), ("tea", "b", "test"))
    kept = deduplicated(rows, LeftOut())

    assert [(row.split, row.label) for row in kept] == [("train", "a"), ("test", "b")]


def test_texts_that_stand_in_train_leave_validation_and_test() -> None:
    rows = table(("tea", "a", "train"), ("tea", "a", "test"), ("tea", "b", "validation"), ("tin", "b", "test"))
    left_out = LeftOut()
    kept, seen = treat_overlap(rows, same(rows), "remove", left_out)

    assert places(kept) == [2, 5]
    assert seen == 2
    assert left_out.counts == {SEEN_IN_TRAIN: 2}
    assert {row.because_of for row in left_out.rows} == {"t.csv line 2"}


def test_counting_the_overlap_removes_nothing() -> None:
    rows = table(("tea", "a", "train"), ("tea", "a", "test"), ("tin", "b", "test"))
    left_out = LeftOut()

    assert treat_overlap(rows, same(rows), "count", left_out) == (rows, 1)
    assert not left_out.rows


@pytest.mark.parametrize("with_validation", [True, False])
def test_counting_keeps_the_given_test_rows_exactly_as_they_are(with_validation: bool) -> None:
    train = table(*((f"train {i}", "ab"[i % 2], "train") for i in range(40)), ("train 1", "a", "train"))
    # Duplicates, contradictions and a text of train: a published figure includes them all.
    test = table(("x", "a", "test"), ("x", "a", "test"), ("x", "b", "test"), ("train 0", "a", "test"))
    validation = table(("v", "b", "validation"), ("v", "b", "validation")) if with_validation else []

    left_out = LeftOut()
    divided, seen = cleaned(train + test + validation, config("count"), left_out)

    assert [row for row in divided if row.split == "test"] == test
    if with_validation:
        assert [row for row in divided if row.split == "validation"] == validation
    assert seen == 1
    # Twice in train with two labels: neither stays.
    assert left_out.counts == {CONTRADICTION: 2}
    assert len(divided) == 39 + len(test) + len(validation)


def test_removing_leaves_no_text_on_two_sides_of_train() -> None:
    train = table(*((f"text {i}", "ab"[i % 2], "train") for i in range(40)))
    test = table(*((f"text {i}", "ab"[i % 2], "test") for i in range(30, 60)))

    left_out = LeftOut()
    divided, seen = cleaned(train + test, config("remove"), left_out)

    trained = {row.text for row in divided if row.split == "train"}
    assert not trained & {row.text for row in divided if row.split != "train"}
    assert left_out.counts[SEEN_IN_TRAIN] == seen == 10


def test_counting_keeps_texts_of_test_out_of_the_validation_rows_taken_from_train() -> None:
    train = table(*((f"text {i}", "ab"[i % 2], "train") for i in range(40)))
    test = table(*((f"text {i}", "ab"[i % 2], "test") for i in range(10, 50)))

    divided, seen = cleaned(train + test, config("count"), LeftOut())

    sides = {split: {row.text for row in divided if row.split == split} for split in ("train", "validation", "test")}
    assert seen == 30
    assert sides["validation"]
    assert not sides["validation"] & sides["test"]
    assert len(sides["test"]) == 40


def test_undivided_rows_are_cleaned_before_they_are_divided() -> None:
    rows = table(*((f"text {i % 30}", "ab"[i % 2]) for i in range(90)))
    settings = config("remove").model_copy(update={"split": SplitConfig(validation=0.2, test=0.2)})

    left_out = LeftOut()
    divided, seen = cleaned(rows, settings, left_out)

    assert len({row.text for row in divided}) == len(divided) == 30
    assert (left_out.counts[DUPLICATE], seen) == (60, 0)


# --- whatever the table ------------------------------------------------------------------------------------------

CELLS = st.tuples(
    st.sampled_from(["tea", "TEA", " tea", "tin", "Tin", "ham", "rice", "wool"]),
    st.sampled_from("abc"),
    st.sampled_from(["train", "validation", "test"]),
)


@given(st.lists(CELLS, max_size=40), st.sampled_from(["remove", "count"]))
def test_no_text_has_two_labels_and_no_row_is_lost(cells: list[tuple[str, str, str]], overlap: str) -> None:
    rows, left_out = table(*cells), LeftOut()
    keys = same(rows)
    kept = remove_duplicates(rows, keys, left_out)
    kept, _ = treat_overlap(kept, keys, overlap, left_out)  # type: ignore[arg-type]
    kept = keep_out_of_validation(kept, keys, overlap, left_out)  # type: ignore[arg-type]

    assert sorted([row.place for row in kept] + [row.place for row in left_out.rows]) == sorted(r.place for r in rows)
    by_place = {row.place: row for row in rows}
    assert all(keys[row.text] == keys[by_place[row.because_of].text] for row in left_out.rows)
    votes: dict[tuple[str | None, bytes], list[str]] = {}
    for row in rows:
        votes.setdefault((row.split, keys[row.text]), []).append(row.label)
    for row in kept:
        labels = votes[by_place[row.place].split, keys[row.text]]
        assert 2 * labels.count(row.label) > len(labels)
    if overlap == "remove":
        assert len({keys[row.text] for row in kept}) == len(kept)


@given(st.lists(CELLS, max_size=30), st.randoms(use_true_random=False))
def test_which_labels_stay_does_not_depend_on_the_order(cells: list[tuple[str, str, str]], chance: Random) -> None:
    def labels(rows: list[Row]) -> set[tuple[str | None, bytes, str]]:
        keys = same(rows)
        return {(row.split, keys[row.text], row.label) for row in remove_duplicates(rows, keys, LeftOut())}

    mixed = list(cells)
    chance.shuffle(mixed)
    assert labels(table(*cells)) == labels(table(*mixed))


def test_given_validation_rows_are_never_trained_on() -> None:
    """With ``count`` all stays as it was given; only what we took from train ourselves may go back to it."""
    train = [(f"t{at}", "ab"[at % 2], "train") for at in range(40)]
    rows = table(
        *train, ("tea", "a", "validation"), ("tin", "b", "validation"), ("tea", "a", "test"), ("x", "b", "test")
    )
    kept, _ = cleaned(rows, config("count"), LeftOut())

    assert sorted(kept, key=lambda row: row.place) == sorted(rows, key=lambda row: row.place)


def test_validation_rows_taken_from_train_go_back_to_it() -> None:
    texts = [(f"t{at}", "ab"[at % 2]) for at in range(40)]
    rows = table(*[(*pair, "train") for pair in texts], *[(*pair, "test") for pair in texts[:30]])
    kept, _ = cleaned(rows, config("count"), LeftOut())

    assert {row.text for row in kept if row.split == "validation"} <= {text for text, _ in texts[30:]}
    assert len(kept) == len(rows)
