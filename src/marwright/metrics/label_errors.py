"""Which rows look mislabelled: self-confidence out of fold (Northcutt, Jiang and Chuang 2021) on an encoder's features.

A row is suspicious if a classifier that has never seen it gives its label little probability. The features must come
from a model that has not learnt these labels: one that has, repeats their errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marwright.metrics.confidence import probabilities_of

FOLDS = 5
FEWEST_ROWS = 3
"""Rows of a label with fewer cannot be judged: out of a row's own fold there would be next to none to compare with."""
SHRINKAGE = 0.3
"""Of the covariance towards the same variance in every direction (Friedman 1989)."""
CHUNK = 4096

Features = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Judged:
    """What a classifier of the other folds thinks of each row; arrays of shape (rows,)."""

    known: npt.NDArray[np.bool_]
    """Whether the row's label has enough rows to be judged; of the others nothing below means anything."""
    self_confidence: npt.NDArray[np.float64]
    """Probability of the label that the row has."""
    likeliest: npt.NDArray[np.int64]
    """The label with the highest probability."""
    probability: npt.NDArray[np.float64]
    """Of the likeliest label."""

    @property
    def suspects(self) -> npt.NDArray[np.int64]:
        """Indices of the rows that the classifier would label otherwise, the most suspicious first."""
        found = np.flatnonzero(self.known & (self.self_confidence < self.probability))
        return found[np.argsort(self.self_confidence[found], kind="stable")]


def judge(features: Features, labels: Labels, seed: int = 0) -> Judged:
    """Judge every row by a classifier that was fitted without it.

    The classifier is a linear discriminant analysis (Fisher 1936) with a shrunk covariance and no preference for
    frequent labels: it has a closed form, so that thousands of labels take seconds.

    Args:
        features: shape (rows, width), of a model that has not learnt these labels.
        labels: shape (rows,), from 0.
        seed: of the division into folds.
    """
    known = np.bincount(labels)[labels] >= FEWEST_ROWS
    found = Judged(known, np.ones(len(labels)), np.array(labels, dtype=np.int64), np.ones(len(labels)))
    rows = np.flatnonzero(known)
    names, own = np.unique(labels[rows], return_inverse=True)
    if len(names) < 2:
        return found
    unit = features[rows] / np.maximum(np.linalg.norm(features[rows], axis=1, keepdims=True), 1e-12)
    # Dealt out label by label: the rows of a label lie in different folds.
    fold = np.empty(len(rows), dtype=int)
    fold[np.lexsort((np.random.default_rng(seed).random(len(rows)), own))] = np.arange(len(rows)) % FOLDS
    for at in range(FOLDS):
        weights, bias = _discriminant(unit[fold != at], own[fold != at])
        held = np.flatnonzero(fold == at)
        for start in range(0, len(held), CHUNK):
            part = held[start : start + CHUNK]
            shares = probabilities_of(unit[part] @ weights + bias)
            found.self_confidence[rows[part]] = shares[np.arange(len(part)), own[part]]
            found.likeliest[rows[part]] = names[shares.argmax(axis=1)]
            found.probability[rows[part]] = shares.max(axis=1)
    return found


def _discriminant(features: Features, labels: Labels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights (width, labels) and bias (labels,) of a linear discriminant; every label has a row."""
    rows, width = features.shape
    means = np.zeros((int(labels.max()) + 1, width))
    np.add.at(means, labels, features)
    means /= np.bincount(labels)[:, None]
    around = features - means[labels]
    covariance = around.T @ around / max(1, rows - len(means))
    spread = max(float(np.trace(covariance)) / width, 1e-12)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * spread * np.eye(width)
    weights = np.linalg.solve(shrunk, means.T)
    return weights, -0.5 * (means.T * weights).sum(axis=0)
