"""Temperature, calibration errors and abstention, on cases whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from marwright.confidence import (
    adaptive_calibration_error,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    probabilities_of,
    selective_accuracy,
)
from marwright.export.calibrating import calibrate, in_words

Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def honest(rows: int = 20_000, labels: int = 8, seed: int = 0) -> Pair:
    """Logits, and labels drawn from the very probabilities that these logits give."""
    chance = np.random.default_rng(seed)
    logits = chance.normal(0, 2.5, (rows, labels)).astype(np.float32)
    thresholds = probabilities_of(logits).cumsum(axis=1)
    drawn = (chance.random((rows, 1)) > thresholds).sum(axis=1)
    return logits, np.minimum(drawn, labels - 1)


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


# --- calibration errors ------------------------------------------------------------------------------------------


def sure(*confidences: float) -> npt.NDArray[np.float64]:
    """Rows of two labels whose first one has these probabilities."""
    return np.array([[confidence, 1 - confidence] for confidence in confidences])


@pytest.mark.parametrize("error", [expected_calibration_error, adaptive_calibration_error])
def test_what_is_right_as_often_as_it_says_has_no_error(error: Any) -> None:
    assert error(sure(*[0.75] * 120), np.array([0, 0, 0, 1] * 30)) == pytest.approx(0)
    logits, labels = honest()
    assert error(probabilities_of(logits), labels) < 0.015


@pytest.mark.parametrize("error", [expected_calibration_error, adaptive_calibration_error])
def test_the_error_is_what_confidence_promises_above_accuracy(error: Any) -> None:
    assert error(sure(*[0.9] * 120), np.array([0, 1] * 60)) == pytest.approx(0.4)
    # Doubt that was not needed counts as much.
    assert error(sure(0.6, 0.6), np.array([0, 0])) == pytest.approx(0.4)


def test_each_bin_counts_by_its_rows_and_they_do_not_make_up_for_each_other() -> None:
    # Three rows promise 0.9 and none is right; one promises 0.6 and is right.
    rows, labels = sure(0.9, 0.9, 0.9, 0.6), np.array([1, 1, 1, 0])

    assert expected_calibration_error(rows, labels) == pytest.approx((3 * 0.9 + 0.4) / 4)
    assert expected_calibration_error(rows, labels, bins=1) == pytest.approx(abs(3 * 0.9 + 0.6 - 1) / 4)


def test_a_certain_row_belongs_to_the_last_bin() -> None:
    assert expected_calibration_error(sure(1.0, 0.95), np.array([0, 0])) == pytest.approx(0.025)


def test_adaptive_bins_see_what_one_wide_bin_hides() -> None:
    # Between 14/15 and 1 lie rows that promise too little and rows that promise too much.
    rows = sure(*[0.94] * 50, *[0.999] * 50)
    labels = np.array([0] * 50 + [0] * 44 + [1] * 6)

    assert expected_calibration_error(rows, labels) < 0.035
    assert adaptive_calibration_error(rows, labels, bins=2) == pytest.approx((0.06 + 0.119) / 2)


def test_a_temperature_mends_what_it_is_meant_for() -> None:
    logits, labels = honest(rows=5000)
    before = expected_calibration_error(probabilities_of(logits * 3), labels)
    after = expected_calibration_error(probabilities_of(logits * 3, fit_temperature(logits * 3, labels)), labels)

    assert before > 0.1
    assert after < before / 5


# --- abstention --------------------------------------------------------------------------------------------------


def test_coverage_and_accuracy_of_what_is_answered() -> None:
    rows, labels = sure(0.9, 0.8, 0.7, 0.6), np.array([0, 0, 1, 1])

    assert selective_accuracy(rows, labels, 0.5) == {"threshold": 0.5, "coverage": 1.0, "accuracy": 0.5}
    assert selective_accuracy(rows, labels, 0.7) == {"threshold": 0.7, "coverage": 0.75, "accuracy": 2 / 3}
    assert selective_accuracy(rows, labels, 0.75) == {"threshold": 0.75, "coverage": 0.5, "accuracy": 1.0}


def test_a_threshold_that_nothing_reaches_has_no_accuracy() -> None:
    assert selective_accuracy(sure(0.6), np.array([0]), 0.9) == {"threshold": 0.9, "coverage": 0.0, "accuracy": None}


# --- what the build does with it ---------------------------------------------------------------------------------


def times(pair: Pair, factor: float) -> Pair:
    return pair[0] * np.float32(factor), pair[1]


def test_the_temperature_is_fitted_on_validation_rows_only() -> None:
    found = calibrate(None, validation=times(honest(2000, seed=1), 2), test=times(honest(2000, seed=2), 5))

    assert found["temperature"] == pytest.approx(2, rel=0.1)
    assert found["fitted"]
    assert found["validation"]["after"]["expected_calibration_error"] < 0.03
    assert found["test"]["before"]["expected_calibration_error"] > 0.1


def test_a_temperature_that_is_given_is_taken() -> None:
    found = calibrate(1.0, validation=honest(500), test=honest(500, seed=1))

    assert (found["temperature"], found["fitted"]) == (1.0, False)
    assert found["test"]["before"] == found["test"]["after"]
    assert "as set" in in_words(found)


def test_higher_thresholds_answer_less_and_better() -> None:
    table = calibrate(None, validation=honest(500), test=honest(5000, seed=1))["test"]["thresholds"]
    coverage = [line["coverage"] for line in table]
    accuracy = [line["accuracy"] for line in table]

    assert coverage == sorted(coverage, reverse=True)
    assert accuracy == sorted(accuracy)
    assert coverage[0] > 0.9
    assert coverage[-1] < 0.5
