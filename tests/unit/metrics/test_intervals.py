"""Calibration, intervals and the Pareto front, held against other ways to compute them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax
from scipy.stats import binomtest, bootstrap

from marwright.explore.rows import split_figures
from marwright.metrics.classification import (
    accuracy_interval,
    paired_interval,
)
from marwright.metrics.confidence import probabilities_of, reliability
from marwright.report.pareto import Point, front
from marwright.tasks import SINGLE_LABEL, TASKS


def answers(rows: int, both: float, ours: float, theirs: float) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Two classifiers: the share of rows that both get right, that only we do, and that only they do."""
    drawn = np.random.default_rng(3).choice(4, size=rows, p=[both, ours, theirs, 1 - both - ours - theirs])
    return (drawn == 0) | (drawn == 1), (drawn == 0) | (drawn == 2)


@pytest.mark.parametrize("shares", [(0.9, 0.01, 0.03), (0.5, 0.2, 0.1), (0.98, 0.0, 0.01)])
def test_the_interval_is_that_of_drawing_rows_one_by_one(shares: tuple[float, float, float]) -> None:
    ours, theirs = answers(600, *shares)
    drawn = bootstrap(
        (ours.astype(float) - theirs,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval

    low, high = paired_interval(ours, theirs)

    assert low == pytest.approx(drawn.low, abs=0.003)
    assert high == pytest.approx(drawn.high, abs=0.003)
    assert paired_interval(ours, theirs) == (low, high), "the same rows give the same interval"
    assert paired_interval(theirs, ours) == pytest.approx((-high, -low), abs=0.003)


def test_pairing_is_what_makes_the_interval_narrow() -> None:
    """Two classifiers that err on the same rows differ for sure where two that err apart may differ by chance."""
    ours, theirs = answers(1000, 0.9, 0.0, 0.02)
    apart, others = answers(1000, 0.82, 0.08, 0.1)

    assert paired_interval(ours, theirs)[1] < 0
    assert paired_interval(apart, others)[1] > 0


def test_equal_answers_have_an_interval_of_zero_width() -> None:
    ours, _ = answers(100, 0.9, 0.0, 0.0)

    assert paired_interval(ours, ours) == (0.0, 0.0)


def test_an_accuracy_has_the_interval_that_wilson_gives_it() -> None:
    expected = binomtest(2835, 3080).proportion_ci(method="wilson")

    assert accuracy_interval(2835 / 3080, 3080) == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_probabilities_are_those_of_scipy_for_any_size_of_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (50, 7)).astype(np.float32)
    logits[0, 0] = 900

    np.testing.assert_allclose(probabilities_of(logits), scipy_softmax(logits.astype(np.float64), axis=1), atol=1e-12)


def test_a_classifier_that_is_as_often_right_as_it_says_lies_on_the_diagonal() -> None:
    probabilities = np.array([[0.8, 0.2]] * 10 + [[0.4, 0.6]] * 10)
    labels = np.array([0] * 8 + [1] * 2 + [1] * 6 + [0] * 4)

    bins = reliability(probabilities.max(1), probabilities.argmax(1) == labels)

    assert [each.rows for each in bins] == [10, 10]
    assert [each.confidence for each in bins] == pytest.approx([each.accuracy for each in bins])


def test_a_drop_is_counted_in_rows() -> None:
    labels = np.zeros(1000, dtype=np.int64)
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    teacher = np.array([right] * 931 + [wrong] * 69, dtype=np.float32)
    candidate = np.array([right] * 921 + [wrong] * 79, dtype=np.float32)

    found = split_figures(TASKS[SINGLE_LABEL], candidate, teacher, labels)

    assert found.drop == 0.01, "0.931 - 0.921 would be a hair more"
    assert found.interval[0] < -0.01 < found.interval[1] < 0
    assert found.same_label_as_teacher == 0.99


def test_the_front_holds_what_nothing_beats() -> None:
    points = [
        Point(1, 4.0, 0.93),
        Point(2, 2.0, 0.92),
        Point(3, 2.0, 0.91),  # as fast as 2 and less accurate
        Point(4, 1.0, 0.90),
        Point(5, 3.0, 0.92),  # as accurate as 2 and slower
        Point(6, 1.0, 0.90),  # the same as 4: neither beats the other
    ]

    assert front(points) == {1, 2, 4, 6}
    assert front([]) == set()
