"""What speaks against an archive is said, with both figures, and said alike wherever it is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marwright.archive.model_card import model_card
from marwright.config import ArchiveConfig
from marwright.data.card import sentences
from marwright.metrics.classification import accuracy_interval, difference_interval
from marwright.metrics.verdicts import warnings


def data(**others: Any) -> dict[str, Any]:
    """A data card."""
    found: dict[str, Any] = {
        "origin": "tickets.csv",
        "rows": {"train": 9000, "validation": 1000, "test": 1000},
        "labels": 40,
        "labels_without_test_rows": [],
        "majority_share": {"test": 0.3},
        "tokens": {"p50": 13, "p99": 51, "max_length": 64, "cut_share": 0.003},
        "dropped": {},
        "seen_in_train": 0,
        "counted_as_wrong": {},
        "split_exceptions": {},
        "baseline": {"accuracy": 0.965},
    }
    return found | others


def test_worse_than_the_linear_baseline_is_said_with_both_figures() -> None:
    (told,) = warnings(data(), 0.9)

    assert told.startswith("Worse than the linear baseline")
    assert "96.5%" in told
    assert "90.0%" in told
    assert "1,000 test rows" in told
    assert "chance" not in told


def test_a_difference_that_may_be_chance_is_said_to_be_that() -> None:
    (told,) = warnings(data(), 0.96)

    assert "the difference may be chance (95 % interval of the difference -2.2 to +1.2 points)" in told


@pytest.mark.parametrize("accuracy", [0.965, 0.99])
def test_nothing_is_said_of_one_that_is_as_good(accuracy: float) -> None:
    assert warnings(data(), accuracy) == []


@pytest.mark.parametrize("baseline", [{}, {"accuracy": None}])
def test_a_baseline_that_was_not_measured_is_no_reproach(baseline: dict[str, Any]) -> None:
    assert warnings(data(baseline=baseline), 0.5) == []


@pytest.mark.parametrize("accuracy", [0.3, 0.29])
def test_no_better_than_the_most_frequent_label_is_said(accuracy: float) -> None:
    told = warnings(data(baseline={}), accuracy)

    assert len(told) == 1
    assert told[0].startswith("No better than one answer to everything")
    assert f"{accuracy:.1%}" in told[0]
    assert "30.0%" in told[0]


def test_rows_that_count_as_wrong_count_for_all() -> None:
    told = warnings(data(counted_as_wrong={"a": 300, "b": 700}, baseline={"accuracy": 0.2}), 0.15)

    assert "always giving their most frequent label would be on 15.0%" in told[0]
    assert "2,000 test rows" in told[1]


def test_labels_that_were_never_tested_are_counted() -> None:
    (many,) = warnings(data(labels_without_test_rows=["a", "b", "c"]), 0.99)
    (one,) = warnings(data(labels_without_test_rows=["a"]), 0.99)

    assert many.startswith("3 of 40 labels are not tested")
    assert one.startswith("1 of 40 labels is not tested")


def test_log_and_card_use_the_same_sentences() -> None:
    about = data(labels_without_test_rows=["oil [crude]"])
    told = warnings(about, 0.2)
    scores = {"accuracy": 0.2, "macro_f1": 0.1}
    card = {
        "name": "tickets",
        "version": "1.0",
        "made_by": "marwright",
        "data": about,
        **dict.fromkeys(("teacher", "student", "archive"), scores),
        "compression": {"fp32_bytes": 1, "cpu": {"scheme": "int8-static"}},
        "module": {"class": "StaticInt8Bert", "runtime": "torchscript"},
        "confidence": {"temperature": 1.0, "why": "60 validation rows are too few to fit another"},
    }
    text = model_card(card, ["tea", "oil [crude]"], ArchiveConfig(), sizes={})

    assert len(told) == 3
    assert all(f"- **{sentence}**" in text for sentence in told)
    assert told[-1] in sentences(about)
    assert "- tea\n- `oil [crude]` (never tested)" in text
    assert "temperature of 1: 60 validation rows are too few" in text


@given(ours=st.floats(0, 1), theirs=st.floats(0, 1), rows=st.integers(1, 5000))
def test_an_interval_of_a_difference_holds_it(ours: float, theirs: float, rows: int) -> None:
    low, high = difference_interval(ours, theirs, rows)
    other_low, other_high = difference_interval(theirs, ours, rows)

    assert -1 - 1e-9 <= low <= ours - theirs + 1e-9
    assert ours - theirs - 1e-9 <= high <= 1 + 1e-9
    assert (low, high) == pytest.approx((-other_high, -other_low))


def test_the_interval_is_the_published_one() -> None:
    # Newcombe 1998, table II, method 10: 9 of 10 and 3 of 10.
    low, high = difference_interval(0.9, 0.3, 10)
    (l1, u1), (l2, u2) = accuracy_interval(0.9, 10), accuracy_interval(0.3, 10)

    assert low == pytest.approx(0.6 - ((0.9 - l1) ** 2 + (u2 - 0.3) ** 2) ** 0.5)
    assert high == pytest.approx(0.6 + ((u1 - 0.9) ** 2 + (0.3 - l2) ** 2) ** 0.5)
    assert (round(low, 4), round(high, 4)) == (0.1705, 0.8090)
