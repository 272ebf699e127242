"""Temperature, calibration errors and abstention, on cases whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marwright.export.calibrating import calibrate, in_words
from marwright.metrics.confidence import (
    FEWEST_MISTAKES,
    FEWEST_ROWS,
    TAKEN,
    adaptive_calibration_error,
    choose_temperature,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    probabilities_of,
    selective_accuracy,
)
from marwright.tasks import SINGLE_LABEL, TASKS

TASK = TASKS[SINGLE_LABEL]

Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def honest(rows: int = 20_000, labels: int = 8, seed: int = 0) -> Pair:
    """Logits, and labels drawn from the very probabilities that these logits give."""
    return drawn(np.random.default_rng(seed), (rows, labels), 2.5)


def drawn(chance: np.random.Generator, shape: tuple[int, int], spread: float) -> Pair:
    logits = chance.normal(0, spread, shape).astype(np.float32)
    thresholds = probabilities_of(logits).cumsum(axis=1)
    found = (chance.random((shape[0], 1)) > thresholds).sum(axis=1)
    return logits, np.minimum(found, shape[1] - 1)


# --- temperature -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 3.0, 0.4])
def test_the_temperature_undoes_what_the_logits_were_multiplied_by(scale: float) -> None:
    logits, labels = honest()

    assert fit_temperature(logits * scale, labels) == pytest.approx(scale, rel=0.03)


def test_the_fitted_temperature_is_the_one_that_makes_the_labels_most_likely() -> None:
    logits, labels = honest(rows=500, seed=3)
    found = fit_temperature(logits * 1.7, labels)
    best = negative_log_likelihood(logits * 1.7, labels, found)

    assert all(best < negative_log_likelihood(logits * 1.7, labels, found * factor) for factor in (0.95, 1.05))


def test_it_changes_no_label_and_no_order() -> None:
    logits, _ = honest(rows=200)

    for temperature in (0.1, 0.9, 10.0):
        order = np.argsort(probabilities_of(logits, temperature), axis=1)
        assert (order == np.argsort(logits, axis=1)).all()


def test_rows_that_are_all_answered_rightly_do_not_sharpen_without_end() -> None:
    assert 0.1 <= fit_temperature(np.eye(3) * 4.0, np.arange(3)) < 0.2


def test_rows_that_are_all_answered_wrongly_do_not_blur_without_end() -> None:
    assert fit_temperature(np.eye(3) * 4.0, np.array([1, 2, 0])) == pytest.approx(10.0, abs=0.01)


def test_huge_logits_overflow_nothing() -> None:
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype=np.float32)

    assert probabilities_of(logits).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert negative_log_likelihood(logits, np.array([0, 0])) == pytest.approx(1e4)


# --- which temperature is taken ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_taken_makes_other_rows_likelier_and_seldom_less_likely() -> None:
    drawing = np.random.default_rng(0)
    changes = []
    for _ in range(200):
        rows, labels = int(drawing.integers(2, 500)), int(drawing.integers(2, 30))
        logits, right = drawn(drawing, (rows + 5000, labels), drawing.uniform(0.3, 6))
        logits *= np.float32(drawing.uniform(0.2, 5))
        found = choose_temperature(logits[:rows], right[:rows])
        others = logits[rows:], right[rows:]
        changes.append(
            negative_log_likelihood(*others, found.settings["temperature"]) - negative_log_likelihood(*others)
        )

        assert TAKEN[0] <= found.settings["temperature"] <= TAKEN[1]
        assert found.fitted or found.settings["temperature"] == 1

    # The rows that a temperature is proven on are a sample: one in twenty proofs may be chance.
    assert np.mean(changes) < 0
    assert np.mean(np.array(changes) > 0.01) <= 0.05
    assert max(changes) < 0.05


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, FEWEST_ROWS - 1), scale=st.floats(0.1, 10), seed=st.integers(0, 10_000))
def test_few_rows_leave_it_at_1(rows: int, scale: float, seed: int) -> None:
    logits, right = drawn(np.random.default_rng(seed), (rows, 4), 3.0)
    found = choose_temperature(logits * np.float32(scale), right)

    assert (found.settings["temperature"], found.fitted) == (1.0, False)
    assert f"{rows} validation rows are too few" in found.why


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(100, 3000), mistakes=st.integers(0, FEWEST_MISTAKES - 1), sure=st.floats(0.1, 12))
def test_rows_that_are_nearly_all_right_leave_it_at_1(rows: int, mistakes: int, sure: float) -> None:
    right = np.arange(rows) % 2
    answered = np.where(np.arange(rows) < mistakes, 1 - right, right)
    found = choose_temperature(sure * np.eye(2)[answered], right)

    assert (found.settings["temperature"], found.fitted) == (1.0, False)
    assert "answered rightly" in found.why


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.6, 3.0])
def test_one_that_helps_is_taken(scale: float) -> None:
    logits, right = honest(rows=2000, seed=5)
    found = choose_temperature(logits * np.float32(scale), right)

    assert found.settings["temperature"] == pytest.approx(scale, rel=0.15)
    assert found.fitted
    assert found.gain is not None
    assert found.gain > 0


def test_honest_logits_are_left_alone() -> None:
    # One in twenty gets a temperature by chance, and that one is near 1.
    values = [choose_temperature(*honest(rows=400, seed=seed)).settings["temperature"] for seed in range(20)]

    assert sum(value == 1 for value in values) >= 16
    assert all(0.8 < value < 1.25 for value in values)


def test_what_is_taken_is_never_extreme() -> None:
    logits, right = honest(rows=2000, seed=6)

    assert choose_temperature(logits / np.float32(50), right).settings["temperature"] == TAKEN[0]
    assert choose_temperature(logits * np.float32(50), right).settings["temperature"] == TAKEN[1]


# --- calibration errors ------------------------------------------------------------------------------------------


def judged(probabilities: Any, labels: Any) -> tuple[Any, Any]:
    """The confidence of each row's answer, and whether it is right."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def sure(*confidences: float) -> npt.NDArray[np.float64]:
    """Rows of two labels whose first one has these probabilities."""
    return np.array([[confidence, 1 - confidence] for confidence in confidences])


@pytest.mark.parametrize("error", [expected_calibration_error, adaptive_calibration_error])
def test_what_is_right_as_often_as_it_says_has_no_error(error: Any) -> None:
    assert error(*judged(sure(*[0.75] * 120), np.array([0, 0, 0, 1] * 30))) == pytest.approx(0)
    logits, labels = honest()
    assert error(*judged(probabilities_of(logits), labels)) < 0.015


@pytest.mark.parametrize("error", [expected_calibration_error, adaptive_calibration_error])
def test_the_error_is_what_confidence_promises_above_accuracy(error: Any) -> None:
    assert error(*judged(sure(*[0.9] * 120), np.array([0, 1] * 60))) == pytest.approx(0.4)
    # Doubt that was not needed counts as much.
    assert error(*judged(sure(0.6, 0.6), np.array([0, 0]))) == pytest.approx(0.4)


def test_each_bin_counts_by_its_rows_and_they_do_not_make_up_for_each_other() -> None:
    # Three rows promise 0.9 and none is right; one promises 0.6 and is right.
    rows, labels = sure(0.9, 0.9, 0.9, 0.6), np.array([1, 1, 1, 0])

    assert expected_calibration_error(*judged(rows, labels)) == pytest.approx((3 * 0.9 + 0.4) / 4)
    assert expected_calibration_error(*judged(rows, labels), bins=1) == pytest.approx(abs(3 * 0.9 + 0.6 - 1) / 4)


def test_a_certain_row_belongs_to_the_last_bin() -> None:
    assert expected_calibration_error(*judged(sure(1.0, 0.95), np.array([0, 0]))) == pytest.approx(0.025)


def test_adaptive_bins_see_what_one_wide_bin_hides() -> None:
    # Between 14/15 and 1 lie rows that promise too little and rows that promise too much.
    rows = sure(*[0.94] * 50, *[0.999] * 50)
    labels = np.array([0] * 50 + [0] * 44 + [1] * 6)

    assert expected_calibration_error(*judged(rows, labels)) < 0.035
    assert adaptive_calibration_error(*judged(rows, labels), bins=2) == pytest.approx((0.06 + 0.119) / 2)


def test_a_temperature_mends_what_it_is_meant_for() -> None:
    logits, labels = honest(rows=5000)
    before = expected_calibration_error(*judged(probabilities_of(logits * 3), labels))
    temperature = fit_temperature(logits * 3, labels)
    after = expected_calibration_error(*judged(probabilities_of(logits * 3, temperature), labels))

    assert before > 0.1
    assert after < before / 5


# --- abstention --------------------------------------------------------------------------------------------------


def test_coverage_and_accuracy_of_what_is_answered() -> None:
    rows, labels = sure(0.9, 0.8, 0.7, 0.6), np.array([0, 0, 1, 1])

    assert selective_accuracy(*judged(rows, labels), 0.5) == {"threshold": 0.5, "coverage": 1.0, "accuracy": 0.5}
    assert selective_accuracy(*judged(rows, labels), 0.7) == {"threshold": 0.7, "coverage": 0.75, "accuracy": 2 / 3}
    assert selective_accuracy(*judged(rows, labels), 0.75) == {"threshold": 0.75, "coverage": 0.5, "accuracy": 1.0}


def test_a_threshold_that_nothing_reaches_has_no_accuracy() -> None:
    assert selective_accuracy(*judged(sure(0.6), np.array([0])), 0.9) == {
        "threshold": 0.9,
        "coverage": 0.0,
        "accuracy": None,
    }


# --- what the build does with it ---------------------------------------------------------------------------------


def times(pair: Pair, factor: float) -> Pair:
    return pair[0] * np.float32(factor), pair[1]


def test_the_temperature_is_fitted_on_validation_rows_only() -> None:
    found = calibrate(TASK, None, validation=times(honest(2000, seed=1), 2), test=times(honest(2000, seed=2), 5))

    assert found["temperature"] == pytest.approx(2, rel=0.1)
    assert found["fitted"]
    assert found["validation"]["after"]["expected_calibration_error"] < 0.03
    assert found["test"]["before"]["expected_calibration_error"] > 0.1


def test_a_temperature_that_is_given_is_taken() -> None:
    found = calibrate(TASK, 1.0, validation=honest(500), test=honest(500, seed=1))

    assert (found["temperature"], found["fitted"]) == (1.0, False)
    assert found["test"]["before"] == found["test"]["after"]
    assert "as set" in in_words(found)


def test_the_log_says_why_it_stayed_1() -> None:
    easy = 4 * np.eye(2, dtype=np.float32)[np.arange(60) % 2], np.arange(60) % 2
    found = calibrate(TASK, None, validation=easy, test=easy)

    assert (found["temperature"], found["fitted"]) == (1.0, False)
    assert in_words(found).startswith("temperature 1, 60 validation rows are too few to fit another: test calibration")
    assert "then" not in in_words(found)


def test_the_log_says_when_test_rows_speak_against_it() -> None:
    found = calibrate(TASK, None, validation=times(honest(2000, seed=1), 0.3), test=times(honest(2000, seed=2), 3))

    assert found["fitted"]
    assert "less honestly" in in_words(found)
    assert "less honestly" not in in_words(calibrate(TASK, None, validation=honest(500), test=honest(500)))


def test_higher_thresholds_answer_less_and_better() -> None:
    table = calibrate(TASK, None, validation=honest(500), test=honest(5000, seed=1))["test"]["thresholds"]
    coverage = [line["coverage"] for line in table]
    accuracy = [line["accuracy"] for line in table]

    assert coverage == sorted(coverage, reverse=True)
    assert accuracy == sorted(accuracy)
    assert coverage[0] > 0.9
    assert coverage[-1] < 0.5
