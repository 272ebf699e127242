"""What a model learns: labels, and a teacher's answers to them (Hinton, Vinyals and Dean 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Trainer

from marwright.tasks import Task


@dataclass(frozen=True)
class Objective:
    """The loss of a training; batches without a teacher's logits have that of their labels alone."""

    task: Task
    label_smoothing: float = 0.0
    """Share of a label's weight that is spread over the others."""
    temperature: float = 1.0
    """Divides student's and teacher's logits. The teacher's term is multiplied by its square, so that the gradients of
    both terms keep their proportion."""
    alpha: float = 0.0
    """Weight of the teacher's answers against the labels, from 0 to 1."""
    hidden_weight: float = 0.0
    """Weight of the distance of the last hidden states."""

    def loss(self, logits: Tensor, targets: Tensor, teacher: Tensor | None = None) -> Tensor:
        """The loss of a batch; ``logits`` and ``teacher`` are (rows, labels)."""
        if teacher is None:
            return self.task.loss(logits, targets, smoothing=self.label_smoothing)
        soft = self.task.divergence(logits / self.temperature, teacher / self.temperature)
        hard = self.task.loss(logits, targets)
        return self.alpha * self.temperature**2 * soft + (1 - self.alpha) * hard


class HiddenStateDistance(nn.Module):
    """Mean squared distance of the last hidden states at real tokens (as in Jiao et al. 2020, last layer only).

    The teacher is kept out of the module's parameters; a projection is learnt where the hidden sizes differ.
    """

    def __init__(self, teacher: Any, student_size: int) -> None:
        super().__init__()
        self._teacher = [teacher.eval().requires_grad_(False)]
        size = teacher.config.hidden_size
        self.projection = nn.Identity() if size == student_size else nn.Linear(student_size, size)

    def forward(self, student_states: Tensor, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Compare (batch, length, student size) states with the teacher's for the same tokens."""
        teacher = self._teacher[0].to(ids.device)
        with torch.no_grad():
            states = teacher.base_model(input_ids=ids, attention_mask=attention_mask).last_hidden_state
        real = attention_mask.bool()
        distance: Tensor = functional.mse_loss(self.projection(student_states)[real].float(), states[real].float())
        return distance


class ObjectiveTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that learns an :class:`Objective`; with a teacher, a model's ``hidden_distance`` takes part."""

    def __init__(self, *args: Any, objective: Objective, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.objective = objective

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Any:
        """Return the loss, and the model's outputs if asked."""
        inputs = dict(inputs)
        targets, teacher = inputs.pop("labels"), inputs.pop("teacher_logits", None)
        distance = getattr(model, "hidden_distance", None) if teacher is not None else None
        outputs = model(**inputs, output_hidden_states=distance is not None)
        loss = self.objective.loss(outputs.logits.float(), targets, teacher)
        if distance is not None:
            states = outputs.hidden_states[-1]
            distances = distance(states, inputs["input_ids"], inputs["attention_mask"])
            loss = loss + self.objective.hidden_weight * distances
        return (loss, outputs) if return_outputs else loss
