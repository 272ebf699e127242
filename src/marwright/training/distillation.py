"""The loss of knowledge distillation (Hinton, Vinyals and Dean 2015), with an optional hidden-state term."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Trainer


def distillation_loss(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
    """``alpha`` × KL(teacher ‖ student) at ``temperature`` + (1 - ``alpha``) × cross-entropy with the labels.

    Args:
        student: logits, (batch, labels).
        teacher: logits, (batch, labels).
        labels: right label ids, (batch,).
        temperature: softens both distributions; the first term is multiplied by its square, so that the gradients of
            both terms keep their proportion.
        alpha: between 0 (labels only) and 1 (teacher only).
    """
    soft = functional.kl_div(
        functional.log_softmax(student / temperature, dim=-1),
        functional.log_softmax(teacher / temperature, dim=-1),
        log_target=True,
        reduction="batchmean",
    )
    hard = functional.cross_entropy(student, labels)
    return alpha * temperature**2 * soft + (1 - alpha) * hard


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


class DistillationTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose training loss looks at the teacher; its validation loss is plain cross-entropy."""

    def __init__(
        self, *args: Any, temperature: float, alpha: float, hidden_weight: float = 0.0, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.temperature = temperature
        self.alpha = alpha
        self.hidden_weight = hidden_weight

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Any:
        """Return the loss, and the model's outputs if asked."""
        inputs = dict(inputs)
        labels, teacher = inputs.pop("labels"), inputs.pop("teacher_logits", None)
        distance = getattr(model, "hidden_distance", None) if teacher is not None else None
        outputs = model(**inputs, output_hidden_states=distance is not None)
        logits = outputs.logits.float()
        if teacher is None:
            loss = functional.cross_entropy(logits, labels)
        else:
            loss = distillation_loss(logits, teacher, labels, self.temperature, self.alpha)
        if distance is not None:
            states = outputs.hidden_states[-1]
            loss = loss + self.hidden_weight * distance(states, inputs["input_ids"], inputs["attention_mask"])
        return (loss, outputs) if return_outputs else loss
