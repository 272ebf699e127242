"""Makes the probabilities of the exported module honest, and tells what abstaining below a confidence would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marwright.metrics.confidence import adaptive_calibration_error, expected_calibration_error, selective_accuracy
from marwright.tasks import Fitted, Task
from marwright.tasks.task import UNFITTED, Logits, Targets, same

# What `archive.min_confidence` may be chosen from.
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

Answered = tuple[Logits, Targets]
"""What a module answers to the rows of a split, and their targets."""


def calibrate(task: Task, temperature: float | None, *, validation: Answered, test: Answered) -> dict[str, Any]:
    """Find what the archive needs besides its module, such as a temperature, and what it does.

    Args:
        task: fits it.
        temperature: the one to use; if none is given, one is fitted on the validation rows and taken if it helps on
            held-out folds of them.
        validation: what the exported module answers there.
        test: the same for the test split; nothing is chosen by it.

    Returns:
        ``temperature`` and whatever else the task fits, whether it was ``fitted``, ``why`` it is this, the nats that a
        fitted one saves on held-out folds (``held_out_gain``), and for each split the number of rows, its errors
        ``before`` (with nothing fitted) and ``after``, and a table of ``thresholds``.
    """
    found = task.fit(*validation) if temperature is None else Fitted({"temperature": temperature}, False, "as set")
    return {
        **found.settings,
        "fitted": found.fitted,
        "why": found.why,
        "held_out_gain": found.gain,
        "validation": _about(task, validation, found.settings),
        "test": _about(task, test, found.settings),
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


def _about(task: Task, answered: Answered, settings: Mapping[str, Any]) -> dict[str, Any]:
    confidence, right = _judged(task, answered, settings)
    return {
        "rows": len(right),
        "before": _errors(task, answered, UNFITTED),
        "after": _errors(task, answered, settings),
        "thresholds": [selective_accuracy(confidence, right, threshold) for threshold in THRESHOLDS],
    }


def _errors(task: Task, answered: Answered, settings: Mapping[str, Any]) -> dict[str, float]:
    judged = _judged(task, answered, settings)
    return {
        "expected_calibration_error": expected_calibration_error(*judged),
        "adaptive_calibration_error": adaptive_calibration_error(*judged),
        "negative_log_likelihood": float(task.log_losses(*answered, settings).mean()),
    }


def _judged(task: Task, answered: Answered, settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """How sure the answer to each row is, and whether it is right."""
    logits, targets = answered
    answers = task.answers(logits, settings)
    return task.probability_of(answers, task.probabilities(logits, settings)), same(answers, targets)
