"""What every family of encoders answers: how transformers calls the parts that marwright's own encoder computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LayerNames:
    """The parts of one layer, by what they do."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    up: str
    down: str
    output_norm: str


@dataclass(frozen=True)
class Family:
    """Classifiers of one shape: post-norm transformer layers, exact GELU, absolute positions. One file each."""

    model_types: tuple[str, ...]
    """In ``config.json``; transformers has several words for some families."""
    embeddings: str
    """The module with ``word_embeddings``, ``position_embeddings`` and ``LayerNorm``."""
    layers: str
    """The list of layers."""
    names: LayerNames
    head: str
    """The linear layer that reads the first token's last state."""
    classifier: str
    """The last layer."""
    head_activation: Literal["tanh", "relu"] = "tanh"
    """Between those two."""
    has_token_types: bool = True
    """Whether embeddings have token types: of single texts, only the first one."""
    behind_padding: bool = False
    """Whether positions begin after the padding id: the first ones belong to no token."""
    intermediate: str = "intermediate_size"
    """Where a configuration says how many neurons a layer has."""
    activation: str = "hidden_act"
    """Where it names the activation between them."""
    norm_epsilon: str | None = "layer_norm_eps"
    """Where it says what is added to a variance before its root; 1e-12 in a family that has no such setting."""
