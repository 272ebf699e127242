"""The int8 layers of :mod:`marwright.modules.symbolic_bert`: fixed activation scales, on oneDNN's fused products.

Inductor knows these products: it packs their weights while it compiles, and where its own kernel is faster for the
machine's processor it writes one.
"""

from __future__ import annotations

from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from marwright.modules.static_bert import (
    ChannelRange,
    StaticFeedForward,
    StaticInt8Bert,
    StaticLastLayer,
    StaticLayer,
)
from marwright.modules.static_linear import StaticInt8Linear
from marwright.modules.symbolic_bert import SymbolicBert


class FusedInt8Linear(nn.Module):
    """The plain weights of a :class:`StaticInt8Linear`, packed in the graph."""

    rows: Tensor
    scales: Tensor
    zero_points: Tensor
    bias: Tensor

    def __init__(self, linear: StaticInt8Linear) -> None:
        super().__init__()
        rows, scales, bias, input_scale, input_zero_point, _ = linear.__getstate__()
        for name, tensor in (("rows", rows), ("scales", scales), ("bias", bias)):
            self.register_buffer(name, tensor)
        self.register_buffer("zero_points", torch.zeros(len(rows), dtype=torch.int32))
        self.input_scale = float(input_scale)
        self.input_zero_point = int(input_zero_point)

    def product(self, quantized: Tensor) -> Tensor:
        """Return (tokens, out) float32 for (tokens, in) uint8."""
        return self._fused(quantized, "none", 1.0, 0, torch.float32)

    def gelu_to_bytes(self, quantized: Tensor, scale: float, zero_point: int) -> Tensor:
        """Return GELU of the product as (tokens, out) uint8 with the given scale and zero point."""
        return self._fused(quantized, "gelu", scale, zero_point, torch.uint8)

    def _fused(self, quantized: Tensor, activation: str, scale: float, zero_point: int, dtype: torch.dtype) -> Tensor:
        output: Tensor = torch.ops.onednn.qlinear_pointwise(
            quantized,
            self.input_scale,
            self.input_zero_point,
            torch.ops.onednn.qlinear_prepack(self.rows, None),
            self.scales,
            self.zero_points,
            self.bias,
            scale,
            zero_point,
            dtype,
            activation,
            [],
            "none",
        )
        return output


class Bytes(nn.Module):
    """Brings every channel into uint8, as calibration saw its range."""

    factor: Tensor
    byte_offset: Tensor

    def __init__(self, channels: ChannelRange) -> None:
        super().__init__()
        self.register_buffer("factor", cast(Tensor, channels.factor))
        self.register_buffer("byte_offset", cast(Tensor, channels.byte_offset))

    def forward(self, states: Tensor) -> Tensor:
        """Return (tokens, channels) uint8."""
        return _cut(torch.addcmul(self.byte_offset, states, self.factor))


class _Int8Layer(nn.Module):
    """What all layers have: their input in bytes, and what follows attention, which is in bfloat16."""

    scale = 1.0  # the weights of the queries have it

    def __init__(self, heads: int, input_range: ChannelRange, rest: StaticFeedForward) -> None:
        super().__init__()
        self.heads = heads
        self.input_bytes = Bytes(input_range)
        self.attention_output = FusedInt8Linear(rest.attention_output)
        self.attention_norm = rest.attention_norm
        self.up_bytes = Bytes(rest.up_range)
        self.up = FusedInt8Linear(rest.up)
        self.down = FusedInt8Linear(rest.down)
        self.output_norm = rest.output_norm

    def output(self, states: Tensor, context: Tensor) -> Tensor:
        """See :class:`marwright.modules.symbolic_bert.Layer`."""
        states = self.attention_norm(states + self.attention_output.product(_cut(context + 128.5)))
        up = self.up.gelu_to_bytes(self.up_bytes(states), self.down.input_scale, self.down.input_zero_point)
        output: Tensor = self.output_norm(states + self.down.product(up))
        return output

    def _projected(self, linear: FusedInt8Linear, states: Tensor) -> Tensor:
        return linear.product(self.input_bytes(states)).to(torch.bfloat16)


class Int8Layer(_Int8Layer):
    """A layer in int8."""

    def __init__(self, layer: StaticLayer) -> None:
        super().__init__(layer.heads, layer.input_range, layer.rest)
        self.query_key_value = FusedInt8Linear(layer.query_key_value)

    def queries_keys_values(self, states: Tensor) -> Tensor:
        """See :class:`marwright.modules.symbolic_bert.Layer`."""
        return self._projected(self.query_key_value, states)


class Int8LastLayer(_Int8Layer):
    """The last layer in int8."""

    def __init__(self, layer: StaticLastLayer) -> None:
        super().__init__(layer.heads, layer.input_range, layer.rest)
        self.query = FusedInt8Linear(layer.query)
        self.key_value = FusedInt8Linear(layer.key_value)

    def queries(self, firsts: Tensor) -> Tensor:
        """See :class:`marwright.modules.symbolic_bert.LastLayer`."""
        return self._projected(self.query, firsts)

    def keys_values(self, states: Tensor) -> Tensor:
        """See :class:`marwright.modules.symbolic_bert.LastLayer`."""
        return self._projected(self.key_value, states)


class Int8Head(nn.Module):
    """The linear layer before the classifier, and its activation."""

    def __init__(self, channels: ChannelRange, linear: StaticInt8Linear, tanh: bool) -> None:
        super().__init__()
        self.input_bytes = Bytes(channels)
        self.linear = FusedInt8Linear(linear)
        self.activation = nn.Tanh() if tanh else nn.ReLU()

    def forward(self, states: Tensor) -> Tensor:
        """Return (texts, hidden) float32 for the last hidden states."""
        output: Tensor = self.activation(self.linear.product(self.input_bytes(states)))
        return output


def symbolic_int8(module: StaticInt8Bert) -> SymbolicBert:
    """The same classifier on the same weights, for `torch.export`."""
    _tell_the_shape_of_packed_weights()
    layers = [Int8Layer(cast(StaticLayer, layer)) for layer in module.layers]
    return SymbolicBert(
        (module.word_embeddings, module.position_embeddings, module.embedding_norm),
        module.first_position,
        [*layers, Int8LastLayer(module.last_layer)],
        Int8Head(module.head_range, module.head, module.tanh_head),
        module.classifier,
    ).eval()


def _cut(shifted: Tensor) -> Tensor:
    """Cut float32 values to whole numbers from 0 to 255."""
    return shifted.clamp(0.0, 255.0).to(torch.uint8)


@cache
def _tell_the_shape_of_packed_weights() -> None:
    """`torch.export` runs without numbers and must be told shapes; what oneDNN packs has the shape (in, out)."""

    def packed(weight: Tensor, shape: list[int] | None) -> Tensor:
        return weight.new_empty([weight.size(1), weight.size(0)])

    torch.library.register_fake("onednn::qlinear_prepack", packed)
