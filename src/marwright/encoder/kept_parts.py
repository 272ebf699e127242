"""Which attention heads and feed-forward neurons a pruned checkpoint has left, and how the others leave its weights.

A pruned checkpoint keeps the full shape of its family, with zeros where a head or neuron was, so that transformers
loads it as any other. ``pruning.json`` beside its weights says what may be left out when it is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from marwright.encoder.shape import EncoderShape, LayerShape
from marwright.files import read_json, stable_json, write_text

Indices = tuple[int, ...]


@dataclass(frozen=True)
class KeptParts:
    """What is left of every layer: the numbers of its heads and of its neurons, ascending."""

    heads: tuple[Indices, ...]
    neurons: tuple[Indices, ...]

    @classmethod
    def read(cls, checkpoint: Path) -> KeptParts | None:
        """What a checkpoint folder has left; nothing is said of one that was never pruned."""
        file = kept_parts_file(checkpoint)
        if not file.is_file():
            return None
        found = read_json(file)
        heads, neurons = (tuple(tuple(layer) for layer in found[part]) for part in ("heads", "neurons"))
        return cls(heads, neurons)

    def write(self, checkpoint: Path) -> None:
        """Say it beside a checkpoint's weights."""
        write_text(kept_parts_file(checkpoint), stable_json({"heads": self.heads, "neurons": self.neurons}))


def kept_parts_file(checkpoint: Path) -> Path:
    """Where a pruned checkpoint says what it has left."""
    return checkpoint / "pruning.json"


def channels(heads: Indices, head_size: int) -> Tensor:
    """The channels of some heads: (heads * head_size,) indices."""
    return (torch.tensor(heads).unsqueeze(1) * head_size + torch.arange(head_size)).flatten()


def without_pruned(
    shape: EncoderShape, state: Mapping[str, Tensor], kept: KeptParts
) -> tuple[EncoderShape, dict[str, Tensor]]:
    """Take pruned parts out of an encoder's shape and weights: what they leave computes the same, sooner.

    The weights have the names of an ``Encoder`` whose last layer is as all others.
    """
    cut = dict(state)
    for index, (heads, neurons) in enumerate(zip(kept.heads, kept.neurons, strict=True)):
        asked, after = f"layers.{index}.query_key_value.linear.", f"layers.{index}.after_attention."
        full = shape.layers[index].heads * shape.head_size
        one = channels(heads, shape.head_size)
        three = torch.cat([one, one + full, one + 2 * full])
        for part in ("weight", "bias"):
            cut[asked + part] = cut[asked + part][three]
            cut[f"{after}up.{part}"] = cut[f"{after}up.{part}"][list(neurons)]
        for product, left in (("attention_output.weight", one), ("down.weight", list(neurons))):
            cut[after + product] = cut[after + product][:, left].contiguous()
    layers = tuple(LayerShape(len(h), len(n)) for h, n in zip(kept.heads, kept.neurons, strict=True))
    return replace(shape, layers=layers), cut
