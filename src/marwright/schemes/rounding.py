"""What int8 does to numbers, as training feels it: rounded in the forward pass, gradients go straight through.

Weights have one scale for each output channel, as marwright's own int8 layers do; activations have one for each token,
or ranges for each channel that calibration fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.encoder.layer_parts import head_of, last_layer, layers_of
from marwright.schemes.int8_rows import SMALLEST_SCALE
from marwright.schemes.scheme import Roundings


def rounded_rows(values: Tensor) -> Tensor:
    """Round each row of (rows, channels) to 255 steps around 0, the largest value becoming 127."""
    scales = (values.detach().abs().amax(1) / 127).clamp_min(SMALLEST_SCALE)
    zeros = torch.zeros(len(scales), dtype=torch.int32, device=values.device)
    return torch.fake_quantize_per_channel_affine(values, scales, zeros, 0, -127, 127)


class Rounding(nn.Module):
    """Rounds what reaches a linear layer as a scheme will: (..., channels) to (..., channels)."""

    def spread(self, weight: Tensor) -> Tensor:
        """What is rounded of a (out, in) weight with it; if nothing is said, the weight itself."""
        return weight

    def gathered(self, weight: Tensor) -> Tensor:
        """Undo :meth:`spread`."""
        return weight


class TokenScales(Rounding):
    """Rounds every token with a scale of its own, as ``Int8Linear`` does."""

    def forward(self, states: Tensor) -> Tensor:
        return rounded_rows(states.flatten(0, -2)).view(states.shape)


class ChannelSteps(Rounding):
    """Rounds every channel in steps around its centre, which the weights take up, as ``ChannelRange`` does."""

    centres: Tensor
    steps: Tensor
    zeros: Tensor

    def __init__(self, centres: Tensor, steps: Tensor) -> None:
        """Take the (channels,) middle of each channel's range and the size of one int8 step in it."""
        super().__init__()
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("steps", steps, persistent=False)
        self.register_buffer("zeros", torch.zeros(len(steps), dtype=torch.int32), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        axis = states.dim() - 1
        moved = states - self.centres
        return torch.fake_quantize_per_channel_affine(moved, self.steps, self.zeros, axis, -128, 127) + self.centres

    def spread(self, weight: Tensor) -> Tensor:
        """How much a step of each input channel changes the output."""
        return weight * self.steps

    def gathered(self, weight: Tensor) -> Tensor:
        return weight / self.steps


class OneScale(Rounding):
    """Rounds all channels with one scale and cuts beyond its range, as what leaves GELU is rounded."""

    def __init__(self, scale: float, zero_point: int) -> None:
        super().__init__()
        self.scale = scale
        self.zero_point = zero_point

    def forward(self, states: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(states, self.scale, self.zero_point, 0, 255)


class RoundedLinear(nn.Linear):
    """A linear layer that computes with rounded weights and inputs while its own weights stay exact."""

    def __init__(self, linear: nn.Linear, rounding: Rounding) -> None:
        """Share the parameters of a layer."""
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.rounding = rounding

    def forward(self, states: Tensor) -> Tensor:
        """Return (..., out) for (..., in)."""
        weight = self.rounding.gathered(rounded_rows(self.rounding.spread(self.weight)))
        return functional.linear(self.rounding(states.float()), weight, self.bias)


def token_roundings(model: Any) -> Roundings:
    """A scale for each token, in front of every linear layer but the last; by the layer's name."""
    last = last_layer(model)
    linears = [name for name, child in model.named_modules() if isinstance(child, nn.Linear) and child is not last]
    return {name: TokenScales() for name in linears}


def static_roundings(model: Any, tensors: Mapping[str, Tensor]) -> Roundings:
    """The ranges that calibration fixed, in front of every linear layer but the last; by the layer's name.

    The tensors are those of the same weights in :class:`~marwright.schemes.static_int8.StaticInt8`.

    Raises:
        TrainingError: the model is of another family.
    """
    names = {child: name for name, child in model.named_modules()}

    def steps(product: str) -> ChannelSteps:
        return ChannelSteps(tensors[f"{product}.centres"], tensors[f"{product}.steps"])

    found: dict[str, Rounding] = {names[head_of(model)]: steps("head.dense")}
    *inner, last = layers_of(model)
    layers = [(layer, f"layers.{index}.", "query_key_value.linear") for index, layer in enumerate(inner)]
    for layer, where, asked in [*layers, (last, "last.", "key_value.linear")]:
        after_attention = f"{where}after_attention."
        for part in (layer.query, layer.key, layer.value):
            found[names[part]] = steps(where + asked)
        found[names[layer.attention_output]] = steps(after_attention + "attention_output")
        found[names[layer.up]] = steps(after_attention + "up")
        down = after_attention + "down.input_"
        found[names[layer.down]] = OneScale(float(tensors[down + "scale"]), int(tensors[down + "zero_point"]))
    return found
