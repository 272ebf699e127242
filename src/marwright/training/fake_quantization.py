"""Training that feels int8: weights and activations are rounded in the forward pass, gradients go straight through.

Simulated quantization as Jacob et al. 2018 describe it and Zafrir et al. 2019 (Q8BERT) use it for BERT, with the scales
that marwright's own int8 layers have: one for each output channel of weights; for activations one for each token, or
ranges for each channel that calibration fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.modules.quantized import SMALLEST_SCALE
from marwright.training.layer_parts import head_of, layers_of
from marwright.training.probing import last_layer


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

    def __init__(self, linear: nn.Linear, rounding: TokenScales | ChannelSteps) -> None:
        """Share the parameters of a layer."""
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.rounding = rounding

    def forward(self, states: Tensor) -> Tensor:
        """Return (..., out) for (..., in)."""
        weight = self.rounding.gathered(rounded_rows(self.rounding.spread(self.weight)))
        return functional.linear(self.rounding(states.float()), weight, self.bias)


Roundings = Mapping[str, TokenScales | ChannelSteps]


def token_roundings(model: Any) -> Roundings:
    """A scale for each token, in front of every linear layer but the last; by the layer's name."""
    last = last_layer(model)
    linears = [name for name, child in model.named_modules() if isinstance(child, nn.Linear) and child is not last]
    return {name: TokenScales() for name in linears}


def static_roundings(model: Any, tensors: Mapping[str, Tensor]) -> Roundings:
    """The ranges that calibration fixed, in front of every linear layer but the last; by the layer's name.

    Args:
        model: a transformers classifier of the BERT family.
        tensors: of a ``StaticInt8Bert`` with the same weights.

    Raises:
        TrainingError: the model is of another family.
    """
    names = {child: name for name, child in model.named_modules()}

    def steps(product: str) -> ChannelSteps:
        return ChannelSteps(tensors[f"{product}.centres"], tensors[f"{product}.steps"])

    found: dict[str, TokenScales | ChannelSteps] = {names[head_of(model)]: steps("head")}
    for index, layer in enumerate(layers_of(model)):
        product = f"layers.{index}."
        for part in (layer.query, layer.key, layer.value):
            found[names[part]] = steps(product + "query_key_value")
        found[names[layer.attention_output]] = steps(product + "attention_output")
        found[names[layer.up]] = steps(product + "up")
        scale, zero_point = tensors[product + "down.input_scale"], tensors[product + "down.input_zero_point"]
        found[names[layer.down]] = OneScale(float(scale), int(zero_point))
    return found


@contextmanager
def rounding(model: Any, roundings: Roundings, *, embeddings: bool) -> Iterator[None]:
    """Let a model compute with rounded numbers within the block; afterwards it computes exactly again.

    Args:
        model: a transformers classifier.
        roundings: what comes in front of which linear layer.
        embeddings: round word embeddings too, each row with a scale of its own.
    """
    exact = {name: model.get_submodule(name) for name in roundings}
    for name, linear in exact.items():
        _put(model, name, RoundedLinear(linear, roundings[name]))
    words = model.get_input_embeddings()
    # A token's embedding is one row of the table: rounding what comes out is rounding the table.
    hook = words.register_forward_hook(lambda _m, _i, output: TokenScales()(output)) if embeddings else None
    try:
        yield
    finally:
        for name, linear in exact.items():
            _put(model, name, linear)
        if hook is not None:
            hook.remove()


def _put(model: nn.Module, name: str, child: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, child)
