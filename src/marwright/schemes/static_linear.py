"""An int8 linear layer whose input scale is fixed at build time, on the kernels that fuse what surrounds the product.

Every call of the build to the quantized operators of PyTorch that are leaving it stands in this file. A layer keeps
its weights twice, once in the layout of each kernel:

- oneDNN's adds the bias and the residual, or applies GELU and quantizes again, before a sum leaves the registers;
  looking its kernel up costs some 20 microseconds a call;
- FBGEMM's quantizes its float input by itself and costs nothing to call, so it wins for a few tokens.
"""

from __future__ import annotations

import warnings
from typing import List, Tuple  # noqa: UP035 (TorchScript reads these)

import torch
from torch import Tensor, nn

# A byte holds a signed value plus this.
ZERO_POINT = 128


class StaticInt8Linear(nn.Module):
    """Int8 weights with one scale per output channel; input with one scale and zero point for good.

    TorchScript saves the weights as plain tensors and packs them anew wherever the module is loaded.
    """

    def __init__(
        self, rows: Tensor, scales: Tensor, bias: Tensor, input_scale: float = 1.0, input_zero_point: int = ZERO_POINT
    ) -> None:
        """Pack (out, in) int8, (out,) float32 twice; with what one step of the input is worth, and the byte for 0."""
        super().__init__()
        # Quantized tensors are deprecated; their products are not replaced yet.
        with warnings.catch_warnings(action="ignore"):
            self.__setstate__((rows, scales, bias, input_scale, input_zero_point, self.training))

    @torch.jit.export
    def __getstate__(self) -> Tuple[Tensor, Tensor, Tensor, float, int, bool]:  # noqa: UP006
        """The plain tensors, from which any machine packs its own."""
        weight, _ = torch.ops.quantized.linear_unpack(self.fbgemm)
        return torch.int_repr(weight), self.scales, self.bias, self.input_scale, self.input_zero_point, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[Tensor, Tensor, Tensor, float, int, bool]) -> None:  # noqa: UP006
        """Pack the weights of a new module, or of one that was saved."""
        rows = state[0]
        self.scales = state[1]
        self.bias = state[2]
        self.input_scale = state[3]
        self.input_zero_point = state[4]
        self.training = state[5]
        self.zero_points = torch.zeros([rows.size(0)], dtype=torch.int32)
        self.onednn = torch.ops.onednn.qlinear_prepack(rows, None)
        self.fbgemm = torch.ops.quantized.linear_prepack(
            torch._make_per_channel_quantized_tensor(rows, state[1], torch.zeros([rows.size(0)], dtype=torch.int64), 0),
            state[2],
        )

    def forward(self, states: Tensor) -> Tensor:
        """Return (tokens, out) float32 for (tokens, in) float32, quantizing on the way: for few tokens."""
        output: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            states, self.input_scale, self.input_zero_point, self.fbgemm
        )
        return output

    def cut_(self, shifted: Tensor) -> Tensor:
        """Cut float32 values to whole numbers from 0 to 255, as uint8; they are overwritten."""
        return cut_to_bytes_(shifted)

    def product(self, quantized: Tensor, dtype: int) -> Tensor:
        """Return (tokens, out) of a float type for (tokens, in) uint8."""
        return self._fused(quantized, "none", 1.0, 0, dtype)

    def gelu_to_bytes(self, quantized: Tensor, scale: float, zero_point: int) -> Tensor:
        """Return GELU of the product as (tokens, out) uint8 with the given scale and zero point."""
        return self._fused(quantized, "gelu", scale, zero_point, torch.uint8)  # type: ignore[arg-type]

    def _fused(self, quantized: Tensor, activation: str, scale: float, zero_point: int, dtype: int) -> Tensor:
        output: Tensor = torch.ops.onednn.qlinear_pointwise(
            quantized,
            self.input_scale,
            self.input_zero_point,
            self.onednn,
            self.scales,
            self.zero_points,
            self.bias,
            scale,
            zero_point,
            dtype,
            activation,
            _no_numbers(),
            "none",
        )
        return output

    def add_product_(self, states: Tensor, quantized: Tensor) -> Tensor:
        """Add the product with (tokens, in) uint8 to (tokens, out) float32 in place, and return it."""
        output: Tensor = torch.ops.onednn.qlinear_pointwise(
            quantized,
            self.input_scale,
            self.input_zero_point,
            self.onednn,
            self.scales,
            self.zero_points,
            states,
            self.bias,
            1.0,
            0,
            torch.float32,
            1.0,
            0,
            "sum",
            1.0,
            "none",
            _no_numbers(),
            "",
        )
        return output


def cut_to_bytes_(shifted: Tensor) -> Tensor:
    """Cut float32 values to whole numbers from 0 to 255, as uint8; they are overwritten.

    Through int16, since PyTorch converts float to uint8 one value at a time.
    """
    return shifted.clamp_(0.0, 255.0).to(torch.int16).to(torch.uint8)


def _no_numbers() -> List[int | float | complex | None]:  # noqa: UP006
    """An empty list of the type ``Scalar?[]``: TorchScript knows Scalar only as the union of the numbers."""
    empty: List[int | float | complex | None] = []  # noqa: UP006
    return empty
