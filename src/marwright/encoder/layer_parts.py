"""The linear layers of an encoder of the BERT family, by what they do, whatever the family calls them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from marwright.errors import TrainingError
from marwright.pretrained.families import FAMILIES, Family


@dataclass(frozen=True)
class LayerParts:
    """The linear layers of one transformer layer."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_output: nn.Linear
    up: nn.Linear
    down: nn.Linear


def family_of(model: Any) -> Family:
    """How the parts of a model are called.

    Raises:
        TrainingError: the model is of another family.
    """
    family = model.config.model_type
    if family not in FAMILIES:
        raise TrainingError(
            f"pruning.kind: structured knows the heads and neurons of {', '.join(FAMILIES)}, not of {family}. "
            "Write `kind: magnitude`, or leave the section out."
        )
    return FAMILIES[family]


def layers_of(model: Any) -> list[LayerParts]:
    """The parts of every layer, first layer first.

    Raises:
        TrainingError: the model is of another family.
    """
    family = family_of(model)
    return [
        LayerParts(**{part.name: layer.get_submodule(getattr(family.names, part.name)) for part in fields(LayerParts)})
        for layer in model.get_submodule(family.layers)
    ]


def head_size_of(model: Any) -> int:
    """Channels of one attention head."""
    return int(model.config.hidden_size // model.config.num_attention_heads)


def head_of(model: Any) -> nn.Linear:
    """The linear layer before the last one, which reads the first token's state.

    Raises:
        TrainingError: the model is of another family.
    """
    head: nn.Linear = model.get_submodule(family_of(model).head)
    return head


def last_layer(model: Any) -> nn.Linear | None:
    """The linear layer that gives the logits, as a few tokens show; another may have as many outputs by chance."""
    given: list[tuple[nn.Linear, Tensor]] = []
    model.eval()
    ids = torch.arange(4, device=model.device).unsqueeze(0)
    with ExitStack() as hooks, torch.inference_mode():
        for child in model.modules():
            if isinstance(child, nn.Linear) and child.out_features == model.config.num_labels:
                hook = child.register_forward_hook(lambda layer, _, output: given.append((layer, output)))
                hooks.enter_context(hook)
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    same = [
        layer
        for layer, output in given
        if output.numel() == logits.numel() and bool((output.view_as(logits) == logits).all())
    ]
    return same[-1] if same else None


def replace(module: nn.Module, name: str, child: nn.Module) -> None:
    """Put a child in the place of another one, which a dotted name tells."""
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, child)
