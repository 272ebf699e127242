"""The parts of an encoder in int8 whose activation scales are fixed at build time.

Bias, GELU, residual and the next layer's quantization are part of the int8 products, and each channel of an activation
has a scale and a centre of its own. Those of attention's output are folded into the weights that make it.

Many tokens take the fused kernels, few tokens the kernels that cost nothing to call.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Rows from which the fused kernels make up for what it costs to call them; never for the head, whose rows are texts:
# oneDNN keeps a kernel for every number of rows.
MANY = 64
NEVER = 1 << 40


class ChannelRange(nn.Module):
    """Brings every channel of an activation into -127.5 to 127.5, as calibration saw it."""

    def __init__(self, centres: Tensor, steps: Tensor) -> None:
        """Take the (channels,) middle of each channel's range and the size of one int8 step in it."""
        super().__init__()
        self.register_buffer("factor", 1 / steps)
        self.register_buffer("offset", -centres / steps)
        # Conversion to integers cuts: 128 moves the values above 0, a half makes a cut a rounding.
        self.register_buffer("byte_offset", 128.5 - centres / steps)

    def forward(self, states: Tensor) -> Tensor:
        """Return (rows, channels) float32 in steps."""
        return torch.addcmul(self.offset, states, self.factor)  # type: ignore[arg-type]

    def shifted(self, states: Tensor) -> Tensor:
        """Return (rows, channels) float32 that a cut makes bytes."""
        return torch.addcmul(self.byte_offset, states, self.factor)  # type: ignore[arg-type]


class StaticProjection(nn.Module):
    """A product whose input is brought into steps first: queries, keys and values."""

    def __init__(self, input_range: ChannelRange, linear: nn.Module, fused_from: int = MANY) -> None:
        """Take the parts; from ``fused_from`` rows on the fused kernel computes. 0 means always, and no choice."""
        super().__init__()
        self.input_range = input_range
        self.linear = linear
        self.fused_from = fused_from

    def forward(self, states: Tensor, half: bool) -> Tensor:
        """Return (rows, out) for (rows, in); many rows in bfloat16 if ``half``."""
        if self.fused_from == 0 or states.size(0) >= self.fused_from:
            quantized = self.linear.cut_(self.input_range.shifted(states))  # type: ignore[operator]
            projected: Tensor = self.linear.product(quantized, torch.bfloat16 if half else torch.float32)  # type: ignore[operator]
            return projected
        output: Tensor = self.linear(self.input_range(states))
        return output


class StaticDense(nn.Module):
    """The linear layer before the classifier."""

    def __init__(self, projection: StaticProjection) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, firsts: Tensor) -> Tensor:
        """Return (texts, hidden) float32 for (texts, hidden)."""
        output: Tensor = self.projection(firsts, False)
        return output


class StaticAfterAttention(nn.Module):
    """What follows attention in a layer: its output product, both norms and the feed-forward products."""

    def __init__(
        self,
        attention_output: nn.Module,
        attention_norm: nn.LayerNorm,
        up_range: ChannelRange,
        up: nn.Module,
        down: nn.Module,
        output_norm: nn.LayerNorm,
        fused_from: int = MANY,
    ) -> None:
        """Take the parts; from ``fused_from`` rows on the fused kernels compute. 0 means always, and no choice."""
        super().__init__()
        self.attention_output = attention_output
        self.attention_norm = attention_norm
        self.up_range = up_range
        self.up = up
        self.down = down
        self.output_norm = output_norm
        self.fused_from = fused_from

    def forward(self, states: Tensor, context: Tensor) -> Tensor:
        """Return (rows, hidden) for the layer's input, which is overwritten, and attention's output in steps."""
        if self.fused_from == 0 or states.size(0) >= self.fused_from:
            quantized = self.attention_output.cut_(context + 128.5)  # type: ignore[operator]
            states = self.attention_norm(self.attention_output.add_product_(states, quantized))  # type: ignore[operator]
            quantized = self.up.cut_(self.up_range.shifted(states))  # type: ignore[operator]
            up = self.up.gelu_to_bytes(quantized, self.down.input_scale, self.down.input_zero_point)  # type: ignore[operator]
            output: Tensor = self.output_norm(self.down.add_product_(states, up))  # type: ignore[operator]
            return output
        states = self.attention_norm(states.add_(self.attention_output(context)))
        output = self.output_norm(states.add_(self.down(functional.gelu(self.up(self.up_range(states))))))
        return output
