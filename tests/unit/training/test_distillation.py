"""The distillation loss against hand-computed values, and the distance of hidden states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from marwright.tasks import SINGLE_LABEL, TASKS
from marwright.training.objective import HiddenStateDistance, Objective
from tiny_models import VOCABULARY, save_tiny_classifier

LABELS = torch.tensor([0, 2, 1, 1])


def distillation_loss(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
    return Objective(TASKS[SINGLE_LABEL], temperature=temperature, alpha=alpha).loss(student, labels, teacher)


def logits(seed: int, scale: float = 3.0) -> Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


# --- the loss ----------------------------------------------------------------------------------------------------


def test_the_loss_is_what_one_computes_by_hand() -> None:
    # At temperature 2: student (1/2, 1/2); teacher logits (2 ln 3, 0) become (3/4, 1/4).
    student = torch.tensor([[0.0, 0.0]])
    teacher = torch.tensor([[2 * math.log(3), 0.0]])
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    expected = 0.6 * 2**2 * divergence + 0.4 * math.log(2)

    loss = distillation_loss(student, teacher, torch.tensor([1]), temperature=2.0, alpha=0.6)

    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_the_loss_is_the_mean_over_texts_and_not_over_labels() -> None:
    student, teacher = logits(1), logits(2)
    each = [
        distillation_loss(student[i : i + 1], teacher[i : i + 1], LABELS[i : i + 1], 3.0, 0.7).item() for i in range(4)
    ]

    assert distillation_loss(student, teacher, LABELS, 3.0, 0.7).item() == pytest.approx(sum(each) / 4)


def test_without_the_teacher_it_is_cross_entropy() -> None:
    student = logits(1)

    loss = distillation_loss(student, logits(2), LABELS, temperature=4.0, alpha=0.0)

    assert torch.allclose(loss, functional.cross_entropy(student, LABELS))


def test_a_student_that_answers_as_the_teacher_has_no_loss_left() -> None:
    teacher = logits(2)

    # A constant added to all logits of a text changes no probability.
    loss = distillation_loss(teacher + 5.0, teacher, LABELS, temperature=3.0, alpha=1.0)

    assert loss.item() == pytest.approx(0.0, abs=1e-12)


def test_the_teacher_stands_first_in_the_divergence() -> None:
    student, teacher = logits(1), logits(2)
    forward = distillation_loss(student, teacher, LABELS, temperature=1.0, alpha=1.0)
    soft = functional.softmax(teacher, dim=1)

    # KL(teacher ‖ student) = cross-entropy with the teacher's probabilities - the teacher's entropy
    expected = functional.cross_entropy(student, soft) + (soft * soft.log()).sum(1).mean()
    assert torch.allclose(forward, expected)


def test_gradients_of_the_soft_term_keep_their_size_at_high_temperatures() -> None:
    """Hinton et al. 2015: times the square of the temperature, they go to (student - teacher) / labels."""
    teacher = logits(2, scale=1.0)
    student = logits(1, scale=1.0).requires_grad_()

    distillation_loss(student, teacher, LABELS, temperature=1000.0, alpha=1.0).backward()

    difference = (student - teacher).detach()
    expected = (difference - difference.mean(dim=1, keepdim=True)) / 3 / len(LABELS)
    assert student.grad is not None
    assert torch.allclose(student.grad, expected, rtol=0.01, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_gradient_is_temperature_times_the_difference_of_soft_answers(temperature: float) -> None:
    teacher, student = logits(2), logits(1).requires_grad_()

    distillation_loss(student, teacher, LABELS, temperature, alpha=1.0).backward()

    soft = [functional.softmax(x / temperature, dim=1).detach() for x in (student, teacher)]
    assert torch.allclose(student.grad, temperature * (soft[0] - soft[1]) / len(LABELS))  # type: ignore[arg-type]


def test_very_sure_answers_give_a_finite_loss() -> None:
    sure = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]])

    assert distillation_loss(sure, -sure, torch.tensor([1, 0]), 1.0, 0.5).isfinite()


# --- hidden states -----------------------------------------------------------------------------------------------


@pytest.fixture
def teacher(tmp_path: Path) -> Any:
    folder = save_tiny_classifier(tmp_path / "teacher", "bert")
    return AutoModelForSequenceClassification.from_pretrained(folder).eval()


def batch(filler: int = 0) -> tuple[Tensor, Tensor]:
    """Texts of 6, 3 and 1 tokens."""
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    ids = torch.randint(4, VOCABULARY, mask.shape, generator=torch.Generator().manual_seed(1))
    return torch.where(mask.bool(), ids, filler), mask


def states_of(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    with torch.no_grad():
        states: Tensor = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
    return states


def test_a_student_in_the_teachers_state_has_no_distance(teacher: Any) -> None:
    ids, mask = batch()
    distance = HiddenStateDistance(teacher, student_size=16)

    assert distance(states_of(teacher, ids, mask), ids, mask).item() == 0.0


def test_the_distance_is_the_mean_square_over_real_tokens(teacher: Any) -> None:
    ids, mask = batch()
    states = states_of(teacher, ids, mask)
    other = states + torch.randn(states.shape, generator=torch.Generator().manual_seed(2))
    expected = ((other - states) ** 2)[mask.bool()].mean()

    assert torch.allclose(HiddenStateDistance(teacher, 16)(other, ids, mask), expected)


def test_padding_counts_for_nothing(teacher: Any) -> None:
    ids, mask = batch()
    distance = HiddenStateDistance(teacher, student_size=16)
    states = torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(2))
    wild = torch.where(mask.bool()[..., None], states, 1e6)
    other_filler, _ = batch(filler=77)

    assert torch.allclose(distance(wild, other_filler, mask), distance(states, ids, mask), rtol=1e-5)


def test_the_teacher_is_not_trained(teacher: Any) -> None:
    teacher.train().requires_grad_(True)
    ids, mask = batch()
    distance = HiddenStateDistance(teacher, student_size=8)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    optimizer = torch.optim.SGD(distance.parameters(), lr=0.1)
    student = torch.randn(3, 6, 8, requires_grad=True)

    distance.train()
    distance(student, ids, mask).backward()
    optimizer.step()

    assert not teacher.training
    assert student.grad is not None
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_the_teacher_is_neither_optimised_nor_saved_with_the_student(teacher: Any) -> None:
    distance = HiddenStateDistance(teacher, student_size=8)

    assert [tuple(parameter.shape) for parameter in distance.parameters()] == [(16, 8), (16,)]
    assert set(distance.state_dict()) == {"projection.weight", "projection.bias"}
    assert list(HiddenStateDistance(teacher, student_size=16).parameters()) == []


def test_the_projection_learns(teacher: Any) -> None:
    torch.manual_seed(0)
    ids, mask = batch()
    distance = HiddenStateDistance(teacher, student_size=8)
    student = torch.randn(3, 6, 8)
    optimizer = torch.optim.Adam(distance.parameters(), lr=0.05)
    first = distance(student, ids, mask).item()
    for _ in range(50):
        optimizer.zero_grad()
        distance(student, ids, mask).backward()
        optimizer.step()

    assert distance(student, ids, mask).item() < first / 2
