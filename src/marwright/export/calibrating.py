"""Makes the probabilities of the exported module honest, and tells what abstaining below a confidence would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marwright.metrics.confidence import (
    ChosenTemperature,
    adaptive_calibration_error,
    choose_temperature,
    expected_calibration_error,
    negative_log_likelihood,
    probabilities_of,
    selective_accuracy,
)

# What `archive.min_confidence` may be chosen from.
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

Answers = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""Logits (rows, labels) of a split and its right label ids (rows,)."""


def calibrate(temperature: float | None, *, validation: Answers, test: Answers) -> dict[str, Any]:
    """Find the temperature and what it does.

    Args:
        temperature: the one to use; if none is given, one is fitted on the validation rows and taken if it helps on
            held-out folds of them.
        validation: what the exported module answers there.
        test: the same for the test split; nothing is chosen by it.

    Returns:
        ``temperature``, whether it was ``fitted``, ``why`` it is this one, the nats that a fitted one saves on held-out
        folds (``held_out_gain``), and for each split the number of rows, its errors ``before`` (at temperature 1)
        and ``after``, and a table of ``thresholds``.
    """
    found = choose_temperature(*validation) if temperature is None else ChosenTemperature(temperature, False, "as set")
    return {
        "temperature": found.value,
        "fitted": found.fitted,
        "why": found.why,
        "held_out_gain": found.gain,
        "validation": _about(validation, found.value),
        "test": _about(test, found.value),
    }


def in_words(confidence: dict[str, Any]) -> str:
    """One line for the build's log."""
    before, after = (confidence["test"][when] for when in ("before", "after"))
    error = f"test calibration error {before['expected_calibration_error']:.1%}"
    told = f"temperature {confidence['temperature']:g}, {confidence['why']}: {error}"
    if confidence["temperature"] == 1:
        return told
    told += f", then {after['expected_calibration_error']:.1%}"
    if after["negative_log_likelihood"] > before["negative_log_likelihood"]:
        told += "; test rows are answered less honestly with it, so see whether validation rows are like them"
    return told


def _about(answers: Answers, temperature: float) -> dict[str, Any]:
    logits, labels = answers
    probabilities = probabilities_of(logits, temperature)
    return {
        "rows": len(labels),
        "before": _errors(answers, 1.0),
        "after": _errors(answers, temperature),
        "thresholds": [selective_accuracy(probabilities, labels, threshold) for threshold in THRESHOLDS],
    }


def _errors(answers: Answers, temperature: float) -> dict[str, float]:
    logits, labels = answers
    probabilities = probabilities_of(logits, temperature)
    return {
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
        "adaptive_calibration_error": adaptive_calibration_error(probabilities, labels),
        "negative_log_likelihood": negative_log_likelihood(logits, labels, temperature),
    }
