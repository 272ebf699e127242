"""Takes attention heads and feed-forward neurons out of a model, and puts zeros in their places afterwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from marwright.encoder.kept_parts import KeptParts, channels
from marwright.encoder.layer_parts import LayerParts, head_size_of, layers_of
from marwright.training.importance import Importance

# The int8 kernels compute 16 output channels at a time; a number between takes as long as the next one above.
MULTIPLE = 16


def choose_kept(importance: Importance, heads: float, neurons: float) -> KeptParts:
    """Keep the most important parts of the whole model, and something of every layer.

    The last layer keeps its neurons: marwright's module computes them for one token of each text, so that without them
    it would hardly be faster.

    ``heads`` is the share of all heads to remove, ``neurons`` that of the neurons of all layers but the last.
    """
    *inner, last = importance.neurons
    kept_neurons = [_rounded(scores, _above(inner, neurons)) for scores in inner]
    bound = _above(importance.heads, heads)
    return KeptParts(
        heads=tuple(_best(scores, max(1, int((scores > bound).sum()))) for scores in importance.heads),
        neurons=(*kept_neurons, tuple(range(len(last)))),
    )


def _above(scores: list[Tensor], share: float) -> float:
    """The score that the given share of all scores does not exceed."""
    together = torch.cat(scores) if scores else torch.zeros(0)
    count = round(share * len(together))
    return float(together.sort().values[count - 1]) if count else -1.0


def _rounded(scores: Tensor, bound: float) -> tuple[int, ...]:
    count = int((scores > bound).sum())
    if count < len(scores):
        count = max(MULTIPLE, round(count / MULTIPLE) * MULTIPLE)
    return _best(scores, count)


def _best(scores: Tensor, count: int) -> tuple[int, ...]:
    return tuple(sorted(scores.argsort(descending=True, stable=True)[:count].tolist()))


def remove_all_but(model: Any, kept: KeptParts) -> None:
    """Make a model smaller, in place: it computes on as before, with what is left of each layer.

    Raises:
        TrainingError: the model is of another family.
    """
    size = head_size_of(model)
    for layer, heads, neurons in zip(layers_of(model), kept.heads, kept.neurons, strict=True):
        of_heads, of_neurons = channels(heads, size), torch.tensor(neurons)
        for part, rows, columns in _cuts(layer, of_heads, of_neurons):
            weight, bias = part.weight.detach(), part.bias.detach()
            part.weight = nn.Parameter(weight[rows, columns].clone(), requires_grad=part.weight.requires_grad)
            part.bias = nn.Parameter(bias[rows].clone(), requires_grad=part.bias.requires_grad)
            part.out_features, part.in_features = part.weight.shape


@torch.no_grad()
def put_back(model: Any, small: Any, kept: KeptParts) -> None:
    """Give a model of full shape, in place, the weights of its smaller self, and zeros where something was removed.

    A neuron whose row and bias are zero gives GELU(0) = 0; a head whose values are zero gives zero.
    """
    size = head_size_of(model)
    # Views of both state dictionaries: what was never cut has the same shape in both.
    own, other = model.state_dict(), small.state_dict()
    for name, tensor in own.items():
        if tensor.shape == other[name].shape:
            tensor.copy_(other[name])
    layers = zip(layers_of(model), layers_of(small), kept.heads, kept.neurons, strict=True)
    for layer, left, heads, neurons in layers:
        of_heads, of_neurons = channels(heads, size), torch.tensor(neurons)
        pairs = zip(_cuts(layer, of_heads, of_neurons), _cuts(left, of_heads, of_neurons), strict=True)
        for (part, rows, columns), (cut, _, _) in pairs:
            part.weight.zero_()
            part.weight[rows, columns] = cut.weight
            part.bias.zero_()
            part.bias[rows] = cut.bias


Cut = tuple[nn.Linear, Tensor | slice, Tensor | slice]


def _cuts(layer: LayerParts, of_heads: Tensor, of_neurons: Tensor) -> list[Cut]:
    """Each part of a layer with the rows and the columns of its weights that are left."""
    everything = slice(None)
    return [
        (layer.query, of_heads, everything),
        (layer.key, of_heads, everything),
        (layer.value, of_heads, everything),
        (layer.attention_output, everything, of_heads),
        (layer.up, of_neurons, everything),
        (layer.down, everything, of_neurons),
    ]
