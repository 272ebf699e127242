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
from marwright.schemes.scheme import Rounding, Roundings


def rounded_rows(values: Tensor) -> Tensor:
    """Round each row of (rows, channels) to 255 steps around 0, the largest value becoming 127."""
    scales = (values.detach().abs().amax(1) / 127).clamp_min(SMALLEST_SCALE)
    zeros = torch.zeros(len(scales), dtype=torch.int32, device=values.device)
    return torch.fake_quantize_per_channel_affine(values, scales, zeros, 0, -127, 127)


class TokenScales(nn.Module):
    """Rounds every token with a scale of its own, as ``Int8Linear`` does."""

    def forward(self, states: Tensor) -> Tensor:
        """Return (..., channels) for (..., channels)."""
        return rounded_rows(states.flatten(0, -2)).view(states.shape)

    def spread(self, weight: Tensor) -> Tensor:
        """What is rounded of a (out, in) weight: the weight itself."""
        return weight

    def gathered(self, weight: Tensor) -> Tensor:
        """Undo :meth:`spread`."""
        return weight


class ChannelSteps(nn.Module):
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
        """Return (..., channels) for (..., channels)."""
        axis = states.dim() - 1
        moved = states - self.centres
        return torch.fake_quantize_per_channel_affine(moved, self.steps, self.zeros, axis, -128, 127) + self.centres

    def spread(self, weight: Tensor) -> Tensor:
        """What is rounded of a (out, in) weight: how much a step of each input channel changes the output."""
        return weight * self.steps

    def gathered(self, weight: Tensor) -> Tensor:
        """Undo :meth:`spread`."""
        return weight / self.steps


class OneScale(TokenScales):
    """Rounds all channels with one scale and cuts beyond its range, as what leaves GELU is rounded."""

    def __init__(self, scale: float, zero_point: int) -> None:
        super().__init__()
        self.scale = scale
        self.zero_point = zero_point

    def forward(self, states: Tensor) -> Tensor:
        """Return (..., channels) for (..., channels)."""
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

    Args:
        model: a transformers classifier of the BERT family.
        tensors: of the same weights in :class:`~marwright.schemes.static_int8.StaticInt8`.

    Raises:
        TrainingError: the model is of another family.
    """
    names = {child: name for name, child in model.named_modules()}

    def steps(product: str) -> ChannelSteps:
        return ChannelSteps(tensors[f"{product}.centres"], tensors[f"{product}.steps"])

    found: dict[str, Rounding] = {names[head_of(model)]: steps("head.dense")}
    *inner, last = layers_of(model)
    asked = [f"layers.{index}.query_key_value.linear" for index in range(len(inner))] + ["last.key_value.linear"]
    afters = [f"layers.{index}.after_attention." for index in range(len(inner))] + ["last.after_attention."]
    for layer, product, after_attention in zip([*inner, last], asked, afters, strict=True):
        for part in (layer.query, layer.key, layer.value):
            found[names[part]] = steps(product)
        found[names[layer.attention_output]] = steps(after_attention + "attention_output")
        found[names[layer.up]] = steps(after_attention + "up")
        scale, zero_point = (
            tensors[after_attention + "down.input_scale"],
            tensors[after_attention + "down.input_zero_point"],
        )
        found[names[layer.down]] = OneScale(float(scale), int(zero_point))
    return found
