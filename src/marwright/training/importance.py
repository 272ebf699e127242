"""How much the loss would change without a head or a neuron, to the first order (Taylor).

The product of an activation and its gradient says what setting it to zero does to the loss (Molchanov et al. 2017). Of
an attention head it is the gradient of a mask over the head (Michel, Levy and Neubig 2019). Its size is taken for each
text and averaged over texts, and the scores of a layer are divided by their norm, as both papers do.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from marwright.console.progress import track
from marwright.encoder.layer_parts import head_size_of, layers_of
from marwright.pretrained.tokenization import batches_by_length
from marwright.tasks import Task
from marwright.training.dataset import Collator, TokenizedSplit

# Texts whose gradients are looked at.
SCORED_ROWS = 2000
BATCH = 32


@dataclass(frozen=True)
class Importance:
    """Scores of every layer."""

    heads: list[Tensor]
    """(heads,) each."""
    neurons: list[Tensor]
    """(neurons,) each."""


def importance_of(model: Any, train: TokenizedSplit, collator: Collator, task: Task) -> Importance:
    """Score every head and neuron by the loss of the labels on train rows.

    At most :data:`SCORED_ROWS` rows, from all over the split, are used. The model is put into evaluation mode.

    Raises:
        TrainingError: the model is of another family.
    """
    model.eval()
    size, device = head_size_of(model), model.device
    # What goes into a layer's attention output is its heads side by side; into its down product, its neurons.
    watched: list[nn.Linear] = [part for layer in layers_of(model) for part in (layer.attention_output, layer.down)]
    sums = [torch.zeros(part.in_features) for part in watched]
    sums[::2] = [torch.zeros(part.in_features // size) for part in watched[::2]]
    caught: dict[nn.Module, Tensor] = {}

    def catch(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        caught[part] = inputs[0]

    step = max(1, len(train) // SCORED_ROWS)
    rows = [train.rows[index] for index in range(0, len(train), step)][:SCORED_ROWS]
    labels = train.labels[::step]
    part = TokenizedSplit(rows, labels)
    batches = batches_by_length(rows, BATCH)
    with ExitStack() as hooks:
        for each in watched:
            hooks.enter_context(each.register_forward_pre_hook(catch))
        for indices in track(batches, "importance of heads and neurons", total=len(batches)):
            batch = collator([part[index] for index in indices])
            logits = model(
                input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device)
            ).logits
            # A sum, not a mean: each text's gradient is then its own.
            loss = task.loss(logits, batch["labels"].to(device), reduction="sum")
            states = [caught[each] for each in watched]
            for index, gradient in enumerate(torch.autograd.grad(loss, states)):
                effect = (states[index].detach() * gradient).sum(1)
                if index % 2 == 0:
                    effect = effect.view(len(indices), -1, size).sum(2)
                sums[index] += effect.abs().sum(0).cpu()
    normed = [each / each.norm().clamp_min(torch.finfo(each.dtype).tiny) for each in sums]
    return Importance(heads=normed[::2], neurons=normed[1::2])
