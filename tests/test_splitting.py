"""Splitting: stratified, groups whole, the source's own division respected, and what cannot be divided refused."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from marwright.config import SplitConfig
from marwright.data.left_out import LeftOut
from marwright.data.rows import Row
from marwright.data.splitting import check_labels, divide
from marwright.errors import DataError

SPLITS = ("train", "validation", "test")


def rows_of(counts: dict[str, int], split: str | None = None) -> list[Row]:
    """As many rows of each label as asked for, mixed."""
    rows = [
        Row(f"{label} {i}", label, f"t.csv {label} {i}", split=split) for label, n in counts.items() for i in range(n)
    ]
    random.Random(0).shuffle(rows)
    return rows


def grouped(counts: dict[str, int], size: int) -> list[Row]:
    """As many groups of each label as asked for, of about ``size`` rows each."""
    rng = random.Random(0)
    rows = [
        Row(f"{label} {group} {i}", label, "t.csv", group=f"{label}-{group}")
        for label, groups in counts.items()
        for group in range(groups)
        for i in range(rng.randint(1, 2 * size - 1))
    ]
    rng.shuffle(rows)
    return rows


def divided(rows: list[Row], *, seed: int = 7, **settings: Any) -> list[Row]:
    return divide(rows, SplitConfig.model_validate(settings), seed, LeftOut())


def labels_in(rows: list[Row], split: str) -> Counter[str]:
    return Counter(row.label for row in rows if row.split == split)


def refusal(rows: list[Row], **settings: Any) -> str:
    with pytest.raises(DataError) as raised:
        check_labels(divided(rows, **settings))
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- rows without a split ----------------------------------------------------------------------------------------


def test_every_split_has_its_share_of_every_label() -> None:
    rows = divided(rows_of({"a": 100, "b": 200, "c": 700}), validation=0.1, test=0.2)

    assert labels_in(rows, "test") == {"a": 20, "b": 40, "c": 140}
    assert labels_in(rows, "validation") == {"a": 10, "b": 20, "c": 70}
    assert labels_in(rows, "train") == {"a": 70, "b": 140, "c": 490}


def test_dividing_neither_loses_nor_reorders_nor_changes_rows() -> None:
    rows = rows_of({"a": 30, "b": 50})

    assert [(row.text, row.label, row.place) for row in divided(rows)] == [(r.text, r.label, r.place) for r in rows]


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    rows = rows_of({"a": 100, "b": 100})

    assert divided(rows, seed=1) == divided(rows, seed=1)
    assert divided(rows, seed=1) != divided(rows, seed=2)


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_torn_apart(seed: int) -> None:
    rows = divided(grouped({"a": 30, "b": 50, "c": 20}, size=6), seed=seed)
    sides = defaultdict(set)
    for row in rows:
        sides[row.group].add(row.split)

    assert all(len(splits) == 1 for splits in sides.values())
    assert {split for splits in sides.values() for split in splits} == set(SPLITS)


def test_groups_are_stratified_by_their_label() -> None:
    rows = divided(grouped({"a": 100, "b": 300}, size=3), validation=0.1, test=0.2)
    groups = {row.group: row for row in rows}

    assert labels_in(list(groups.values()), "test") == {"a": 20, "b": 60}
    assert labels_in(list(groups.values()), "validation") == {"a": 10, "b": 30}


def test_groups_are_torn_apart_when_they_are_not_to_be_kept() -> None:
    rows = divided(grouped({"a": 30, "b": 30}, size=10), by_group=False)
    sides = defaultdict(set)
    for row in rows:
        sides[row.group].add(row.split)

    assert any(len(splits) > 1 for splits in sides.values())


def test_a_row_without_a_group_is_not_taken_for_a_group_of_its_number() -> None:
    rows = [Row("the one without", "b", "t.csv")]
    rows += [Row(f"a {i}", "a", "t.csv", group="row 0") for i in range(3)]
    rows += rows_of({"a": 20, "b": 20})
    sides = {divided(rows, seed=seed)[0].split == divided(rows, seed=seed)[1].split for seed in range(12)}

    assert sides == {True, False}


# --- rare labels -------------------------------------------------------------------------------------------------

RARE = {"a": 40, "b": 40, "rare": 2, "single": 1}


def test_labels_too_rare_to_divide_are_an_error_that_names_them() -> None:
    message = refusal(rows_of(RARE))

    assert "Too few rows to divide into 3 splits for: 'rare' (2), 'single' (1)." in message
    assert "data.split.rare_labels to train_only or drop" in message


def test_only_the_first_few_rare_labels_are_named() -> None:
    message = refusal(rows_of({"a": 40, "b": 40} | {f"rare {i}": 1 for i in range(8)}))

    assert "'rare 4' (1) and 3 more." in message


def test_a_label_with_many_rows_in_few_groups_is_rare() -> None:
    assert "Too few groups to divide" in refusal(grouped({"a": 40, "b": 2}, size=20))


def test_rare_labels_can_stay_in_train_alone() -> None:
    rows = divided(rows_of(RARE), rare_labels="train_only")

    assert {row.split for row in rows if row.label in ("rare", "single")} == {"train"}
    assert len(rows) == 83
    assert set(labels_in(rows, "test")) == {"a", "b"}


def test_rare_labels_can_be_dropped_and_are_counted() -> None:
    left_out = LeftOut()
    rows = divide(rows_of(RARE), SplitConfig(rare_labels="drop"), 7, left_out)

    assert {row.label for row in rows} == {"a", "b"}
    assert len(left_out.rows) == 3


def test_dropping_rare_labels_counts_rows_and_not_groups() -> None:
    rows = grouped({"a": 40, "b": 40, "rare": 2}, size=20)
    left_out = LeftOut()
    kept = divide(rows, SplitConfig(rare_labels="drop"), 7, left_out)

    assert len(left_out.rows) == len(rows) - len(kept) == sum(row.label == "rare" for row in rows)


@pytest.mark.parametrize("rare_labels", ["train_only", "drop"])
def test_a_table_of_nothing_but_rare_labels_is_refused(rare_labels: str) -> None:
    assert "No label has 3 rows" in refusal(rows_of({"a": 2, "b": 1}), rare_labels=rare_labels)


# --- too few rows ------------------------------------------------------------------------------------------------


def test_a_split_too_small_for_all_labels_is_refused_with_the_cure() -> None:
    message = refusal(rows_of({f"label {i}": 4 for i in range(10)}), test=0.1)

    assert message.startswith("40 rows or groups with 10 labels are too few for a split of 4")
    assert "raise data.split.validation and data.split.test" in message


@pytest.mark.parametrize(
    "counts", [{"a": 20, "b": 20, "c": 3}, {"a": 5, "b": 5, "c": 4}, {"a": 3, "b": 3}, {"a": 4}], ids=str
)
def test_splits_that_leave_too_little_for_train_are_refused_with_the_cure(counts: dict[str, int]) -> None:
    message = refusal(rows_of(counts), validation=0.49, test=0.49)

    assert "lower data.split.validation and data.split.test" in message


def test_no_table_however_small_ends_in_anything_but_splits_or_a_sentence() -> None:
    rng = random.Random(3)
    outcomes = Counter()
    for seed in range(400):
        rows = rows_of({f"l{i}": rng.choice([1, 2, 3, 4, 5, 8, 20]) for i in range(rng.randint(1, 6))})
        shares = {name: rng.choice([0.05, 0.15, 0.3, 0.45, 0.49]) for name in ("validation", "test")}
        rare_labels = rng.choice(["error", "train_only", "drop"])
        try:
            result = divided(rows, seed=seed, rare_labels=rare_labels, **shares)
            check_labels(result)
        except DataError:
            outcomes["refused"] += 1
        else:
            outcomes["divided"] += 1
            assert {row.split for row in result} == set(SPLITS)

    assert min(outcomes.values()) > 50


# --- rows that their source has divided --------------------------------------------------------------------------


def test_given_splits_stay_as_they_are() -> None:
    rows = [row for split, n in zip(SPLITS, (5, 3, 2), strict=True) for row in rows_of({"a": n, "b": n}, split)]

    assert divided(rows) == rows


def test_missing_validation_rows_are_taken_from_train() -> None:
    train, test = rows_of({"a": 100, "b": 300}, "train"), rows_of({"a": 10, "b": 10}, "test")
    rows = divided(train + test, validation=0.1)

    assert [row for row in rows if row.split == "test"] == test
    assert labels_in(rows, "validation") == {"a": 10, "b": 30}
    assert labels_in(rows, "train") == {"a": 90, "b": 270}


def test_two_train_rows_of_a_label_are_enough_to_take_validation_from() -> None:
    rows = divided(rows_of({"a": 20, "b": 2}, "train") + rows_of({"a": 1, "b": 1}, "test"))

    assert labels_in(rows, "train")["b"] >= 1
    check_labels(rows)


def test_a_split_for_some_rows_only_is_refused_with_the_first_row_that_lacks_it() -> None:
    rows = [*rows_of({"a": 3}, "train"), Row("x", "b", "t.csv line 9"), Row("y", "b", "t.csv line 10")]

    assert refusal(rows).startswith("t.csv line 9: some rows have a split and 2 do not")


@pytest.mark.parametrize("missing", ["train", "test"])
def test_given_splits_without_train_or_test_are_refused(missing: str) -> None:
    there = [split for split in SPLITS if split != missing]
    message = refusal([row for split in there for row in rows_of({"a": 2, "b": 1}, split)])

    assert message == f"The source divides its rows, but gives no {missing} rows; it gives 3 {there[0]}, 3 {there[1]}."


# --- labels ------------------------------------------------------------------------------------------------------


def test_one_label_is_not_enough() -> None:
    assert refusal(rows_of({"spam": 30})) == (
        "The train split has only the label 'spam'; a classifier needs at least two labels."
    )


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_that_train_does_not_have_is_refused_with_its_place(split: str) -> None:
    rows = [row for part in SPLITS for row in rows_of({"a": 3, "b": 3}, part)]
    rows += [Row("x", "seats ", "t.csv line 20", split=split), Row("y", "seats ", "t.csv line 21", split=split)]
    message = refusal(rows)

    assert message.startswith(f"t.csv line 20: the label 'seats ' is in {split} but not in train (2 such rows).")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_that_cleaning_has_emptied_is_refused(split: str) -> None:
    rows = [row for part in SPLITS if part != split for row in rows_of({"a": 3, "b": 3}, part)]

    with pytest.raises(DataError, match=rf"No {split} rows are left.*data\.overlap"):
        check_labels(rows)
