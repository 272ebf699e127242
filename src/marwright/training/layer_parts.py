"""The linear layers of an encoder of the BERT family, by what they do, whatever the family calls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from marwright.errors import TrainingError


@dataclass(frozen=True)
class LayerParts:
    """The linear layers of one transformer layer."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_output: nn.Linear
    up: nn.Linear
    down: nn.Linear


_BERT = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_DISTILBERT = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2")
# Where a family keeps its layers, and what the parts of each are called.
_FAMILIES = {
    "bert": ("bert.encoder.layer", _BERT),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert"), ("roberta.encoder.layer", _BERT)),
    "distilbert": ("distilbert.transformer.layer", _DISTILBERT),
}


def layers_of(model: Any) -> list[LayerParts]:
    """The parts of every layer, first layer first.

    Raises:
        TrainingError: the model is of another family.
    """
    family = model.config.model_type
    if family not in _FAMILIES:
        raise TrainingError(
            f"pruning.kind: structured knows the heads and neurons of {', '.join(_FAMILIES)}, not of {family}. "
            "Write `kind: magnitude`, or leave the section out."
        )
    where, names = _FAMILIES[family]
    return [LayerParts(*(layer.get_submodule(name) for name in names)) for layer in model.get_submodule(where)]


def head_size_of(model: Any) -> int:
    """Channels of one attention head."""
    return int(model.config.hidden_size // model.config.num_attention_heads)


def head_of(model: Any) -> nn.Linear:
    """The linear layer before the last one, which reads the first token's state.

    Raises:
        TrainingError: the model is of another family.
    """
    layers_of(model)
    name = {"bert": "bert.pooler.dense", "distilbert": "pre_classifier"}
    head: nn.Linear = model.get_submodule(name.get(model.config.model_type, "classifier.dense"))
    return head
