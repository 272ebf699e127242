"""An int8 linear layer with a fixed input scale as ``torch.export`` can capture it.

Inductor knows oneDNN's fused products: it packs their weights while it compiles, and where its own kernel is faster for
the machine's processor it writes one.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn


class CapturedInt8Linear(nn.Module):
    """What :class:`~marwright.schemes.static_linear.StaticInt8Linear` computes for many rows; packed in the graph."""

    rows: Tensor
    scales: Tensor
    zero_points: Tensor
    bias: Tensor

    def __init__(self, rows: Tensor, scales: Tensor, bias: Tensor, input_scale: float, input_zero_point: int) -> None:
        """Take (out, in) int8, (out,) float32 twice, what one step of the input is worth, and the byte for 0."""
        super().__init__()
        tell_the_shape_of_packed_weights()
        for name, tensor in (("rows", rows), ("scales", scales), ("bias", bias)):
            self.register_buffer(name, tensor)
        self.register_buffer("zero_points", torch.zeros(len(rows), dtype=torch.int32))
        self.input_scale = input_scale
        self.input_zero_point = input_zero_point

    def cut_(self, shifted: Tensor) -> Tensor:
        """Cut float32 values to whole numbers from 0 to 255, as uint8."""
        return shifted.clamp(0.0, 255.0).to(torch.uint8)

    def product(self, quantized: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (rows, out) of a float type for (rows, in) uint8."""
        return self._fused(quantized, "none", 1.0, 0, torch.float32).to(dtype)

    def gelu_to_bytes(self, quantized: Tensor, scale: float, zero_point: int) -> Tensor:
        """Return GELU of the product as (rows, out) uint8 with the given scale and zero point."""
        return self._fused(quantized, "gelu", scale, zero_point, torch.uint8)

    def add_product_(self, states: Tensor, quantized: Tensor) -> Tensor:
        """Return the sum of the product with (rows, in) uint8 and (rows, out) float32."""
        return states + self._fused(quantized, "none", 1.0, 0, torch.float32)

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


@cache
def tell_the_shape_of_packed_weights() -> None:
    """``torch.export`` runs without numbers and must be told shapes; what oneDNN packs has the shape (in, out)."""

    def packed(weight: Tensor, shape: list[int] | None) -> Tensor:
        return weight.new_empty([weight.size(1), weight.size(0)])

    torch.library.register_fake("onednn::qlinear_prepack", packed)
