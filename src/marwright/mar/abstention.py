"""The two shapes of a text classifier's answer: labels with probabilities, or these under a label of ``null``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def abstains(answer: Mapping[str, Any]) -> bool:
    """Whether the handler was not sure enough to name a label. A probability is never ``null``, whatever its label."""
    return "label" in answer and answer["label"] is None


def probabilities_in(answer: Mapping[str, Any]) -> dict[str, float]:
    """Label to probability, best first, whether the handler abstains or not.

    Raises:
        KeyError, TypeError, ValueError: it is no answer of a text classifier.
    """
    probabilities = answer["predictions"] if abstains(answer) else answer
    if not isinstance(probabilities, dict):
        raise TypeError(f"expected label: probability, not {type(probabilities).__name__}")
    return probabilities
