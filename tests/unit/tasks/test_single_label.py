"""One label for each text: what it says of answers, and where a probe is not worth it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from marwright.tasks import SINGLE_LABEL, TASKS

TASK = TASKS[SINGLE_LABEL]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"tea": 0.9, "wool": 0.1}, "tea"),
        ({"label": None, "predictions": {"wool": 0.2, "tea": 0.1}}, "wool"),
        ({}, None),
        ([1, 2], None),
        ("tea", None),
        (None, None),
        ({"label": None}, None),
    ],
)
def test_two_versions_are_compared_by_the_best_label(answer: object, said: str | None) -> None:
    assert TASK.said(answer) == said


def test_smoothing_spreads_a_share_of_each_label() -> None:
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(8) % 5

    expected = functional.cross_entropy(logits, targets, label_smoothing=0.1)
    torch.testing.assert_close(TASK.loss(logits, targets, smoothing=0.1), expected)
    assert torch.equal(TASK.loss(logits, targets), functional.cross_entropy(logits, targets))


def test_a_temperature_changes_probabilities_and_no_answer() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    soft = TASK.probabilities(logits, {"temperature": 4.0})

    assert (soft.max(axis=1) < TASK.probabilities(logits).max(axis=1)).all()
    assert (TASK.answers(logits, {"temperature": 4.0}) == TASK.answers(logits)).all()
    assert (TASK.probability_of(TASK.answers(logits), soft) == soft.max(axis=1)).all()


@pytest.mark.parametrize("targets", [[0, 1] * 6, [0] * 12])
def test_few_labels_are_not_probed(targets: list[int]) -> None:
    assert TASK.probe(np.ones((12, 3), dtype=np.float32), np.asarray(targets), 5) is None
