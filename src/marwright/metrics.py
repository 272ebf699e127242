"""How good a classifier's answers are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def scores(logits: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]) -> dict[str, float]:
    """Accuracy, macro-F1, weighted F1 and top-5 accuracy.

    Args:
        logits: shape (rows, labels); probabilities serve as well.
        labels: shape (rows,), the right label ids.

    F1 is averaged over the labels that occur in ``labels``: a label without a single row to find has none.
    """
    from sklearn.metrics import f1_score

    predicted = logits.argmax(axis=1)
    present = np.unique(labels)
    top5 = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return {
        "accuracy": float((predicted == labels).mean()),
        "macro_f1": float(f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "weighted_f1": float(f1_score(labels, predicted, labels=present, average="weighted", zero_division=0)),
        "top5_accuracy": float((top5 == labels[:, None]).any(axis=1).mean()),
    }
