"""Whether a classifier's probabilities can be taken at their word, and what it gains by keeping quiet when unsure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]
Confidence = npt.NDArray[np.floating[Any]]
Right = npt.NDArray[np.bool_]

# Where rows are all answered rightly, or all wrongly, the likelihood alone would sharpen or blur without end.
SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 0.1, 10.0
# What an archive may get: beyond these the validation rows say more of themselves than of the texts to come.
TAKEN = (0.25, 4.0)
FEWEST_ROWS = 100
# Only the rows that are answered wrongly say how sure is too sure.
FEWEST_MISTAKES = 10
FOLDS = 10
# One-sided 95 % of a normal distribution.
SURELY_BETTER = 1.645
BINS = 15


@dataclass(frozen=True)
class Bin:
    """Rows that are answered with about the same confidence."""

    rows: int
    confidence: float
    """Its mean."""
    accuracy: float
    """The share of rows whose answer is right."""


def probabilities_of(logits: Logits, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Softmax of (rows, labels) logits that are divided by a temperature first."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature under which the right labels are most likely (temperature scaling, Guo et al. 2017).

    It changes no label: all logits of a row are divided by the same number. Above 1 the classifier was too sure of
    itself, below 1 not sure enough, as students of label smoothing or of a high distillation temperature often are.

    Args:
        logits: (rows, labels), of rows that the classifier was not trained on.
        labels: (rows,) right label ids.

    Returns:
        a number from 0.1 to 10, rounded to four digits.
    """
    from scipy.optimize import minimize_scalar

    # The likelihood has a single maximum in 1 / temperature, and so in the temperature's logarithm.
    found = minimize_scalar(
        lambda power: negative_log_likelihood(logits, labels, float(np.exp(power))),
        bounds=(np.log(SMALLEST_TEMPERATURE), np.log(LARGEST_TEMPERATURE)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return round(float(np.exp(found.x)), 4)


@dataclass(frozen=True)
class Fitted:
    """What was fitted on rows that the model was not trained on, and why it is taken or left."""

    settings: Mapping[str, Any]
    """By the names that the archive's handler reads."""
    fitted: bool
    """Whether they were taken from the rows."""
    why: str
    """The end of a sentence that begins with the settings."""
    gain: float | None = None
    """Nats of negative log-likelihood that they save a row on folds that they were not fitted on; none if not tried."""


def choose_temperature(logits: Logits, labels: Labels, seed: int = 0) -> Fitted:
    """The fitted temperature (Guo et al. 2017) if it proves to help on rows that it was not fitted on, otherwise 1.

    The rows are divided into ten folds; each is judged under the temperature of the other nine. The gain over
    temperature 1 must be above zero by more than chance, by the standard error of the rows' gains. Of few rows, and of
    rows with few mistakes, nothing is taken: the likelihood of rows that are answered rightly only grows the
    sharper the answers become, whatever other texts may be answered.

    Args:
        logits: (rows, labels), of rows that the classifier was not trained on.
        labels: (rows,) right label ids.
        seed: of the division; the same rows give the same temperature.
    """
    rows, mistakes = len(labels), int((np.asarray(logits).argmax(axis=1) != labels).sum())
    if rows < FEWEST_ROWS:
        return _left(f"{rows} validation rows are too few to fit another")
    if mistakes < FEWEST_MISTAKES:
        told = "all are" if mistakes == 0 else f"all but {mistakes} are"
        return _left(f"of {rows:,} validation rows {told} answered rightly, too few mistakes to fit another")
    gains = _held_out_gains(logits, labels, seed)
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(rows))
    if not gain > SURELY_BETTER * error:
        why = f"a fitted one is no better on held-out folds of the {rows:,} validation rows, as far as they can show"
        return _left(why, gain)
    taken = {"temperature": _within_bounds(fit_temperature(logits, labels))}
    return Fitted(taken, True, f"fitted on {rows:,} validation rows; it helps on held-out folds of them", gain)


def _left(why: str, gain: float | None = None) -> Fitted:
    return Fitted({"temperature": 1.0}, False, why, gain)


def _held_out_gains(logits: Logits, labels: Labels, seed: int) -> npt.NDArray[np.float64]:
    """For each row, by how much a temperature of the other folds makes its right label likelier, in nats."""
    fold = np.random.default_rng(seed).permutation(len(labels)) % FOLDS
    gains = np.zeros(len(labels))
    for at in range(FOLDS):
        held, rest = fold == at, fold != at
        temperature = _within_bounds(fit_temperature(logits[rest], labels[rest]))
        gains[held] = log_losses(logits[held], labels[held], 1.0) - log_losses(logits[held], labels[held], temperature)
    return gains


def _within_bounds(temperature: float) -> float:
    return min(max(temperature, TAKEN[0]), TAKEN[1])


def negative_log_likelihood(logits: Logits, labels: Labels, temperature: float = 1.0) -> float:
    """Mean of minus the logarithm of the right label's probability, in nats."""
    return float(log_losses(logits, labels, temperature).mean())


def log_losses(logits: Logits, labels: Labels, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Minus the logarithm of the right label's probability, (rows,), in nats."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    highest = scaled.max(axis=1)
    totals = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1))
    losses: npt.NDArray[np.float64] = totals - scaled[np.arange(len(labels)), labels]
    return losses


def expected_calibration_error(confidence: Confidence, right: Right, bins: int = BINS) -> float:
    """How far confidence and accuracy lie apart, from 0 to 1, the mean over rows (Naeini et al. 2015; Guo et al. 2017).

    Rows are put into bins of equal width by confidence; in each its mean is held against the share of right answers.

    Args:
        confidence: (rows,), the probability of each answer.
        right: (rows,), whether it is the right one.
        bins: between 0 and 1.
    """
    return _mean_gap(confidence, right, _bins_of(confidence, bins), bins)


def adaptive_calibration_error(confidence: Confidence, right: Right, bins: int = BINS) -> float:
    """The same with bins of equally many rows (Nguyen and O'Connor 2015): most confidences crowd below 1."""
    bin_of_row = np.empty(len(confidence), dtype=int)
    bin_of_row[np.argsort(confidence, kind="stable")] = np.arange(len(confidence)) * bins // len(confidence)
    return _mean_gap(confidence, right, bin_of_row, bins)


def _bins_of(confidence: Confidence, bins: int) -> npt.NDArray[np.int64]:
    """The bin of equal width of each row, (rows,); a bin holds its upper edge, as in Guo et al."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def reliability(confidence: Confidence, right: Right, bins: int = BINS) -> list[Bin]:
    """Rows grouped by confidence, in equal steps (Guo et al. 2017); empty groups are left out."""
    bin_of_row = _bins_of(confidence, bins)
    return [
        Bin(int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean()))
        for inside in (bin_of_row == index for index in range(bins))
        if inside.any()
    ]


def selective_accuracy(confidence: Confidence, right: Right, threshold: float) -> dict[str, float | None]:
    """What is answered, and how well, if rows below a confidence are not (El-Yaniv and Wiener 2010).

    Returns:
        the threshold, the share of rows that are answered (``coverage``), and the accuracy on these; none if no row is.
    """
    answered = confidence >= threshold
    return {
        "threshold": threshold,
        "coverage": float(answered.mean()),
        "accuracy": float(right[answered].mean()) if answered.any() else None,
    }


def _mean_gap(confidence: Confidence, right: Right, bin_of_row: npt.NDArray[np.integer[Any]], bins: int) -> float:
    # Rows in a bin times its gap is the difference of two sums: empty bins need no care.
    gaps = np.bincount(bin_of_row, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))
