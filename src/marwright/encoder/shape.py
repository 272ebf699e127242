"""The numbers that define an encoder of the BERT family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LayerShape:
    """The numbers of one layer; pruning leaves each layer its own."""

    heads: int
    intermediate: int


@dataclass(frozen=True)
class EncoderShape:
    """The numbers that define an encoder of the BERT family."""

    vocabulary: int
    hidden: int
    head_size: int
    """Channels of one attention head."""
    layers: tuple[LayerShape, ...]
    positions: int
    labels: int
    norm_epsilon: float = 1e-12
    first_position: int = 0
    """RoBERTa counts positions from its padding id + 1."""
    head_activation: Literal["tanh", "relu"] = "tanh"
    """BERT and RoBERTa have a tanh before the last layer, DistilBERT a relu."""
