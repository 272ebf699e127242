"""16 bits for GPUs: float16, or bfloat16 with the range of float32 and an eighth of float16's exactness."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from marwright.schemes.float32 import Float32
from marwright.schemes.scheme import Weights

if TYPE_CHECKING:
    from torch import nn


class Half(Float32):
    """Everything in 16 bits, but the scales of int8 embeddings."""

    on_gpu: ClassVar[bool] = True
    capturable: ClassVar[bool] = False

    def __init__(self, name: str, dtype: str) -> None:
        """Take a name, and the type's own in torch."""
        self.name = self.precision = name
        self._dtype = dtype

    def build(self, module: nn.Module, weights: Weights) -> nn.Module:
        from marwright.encoder.encoder import Encoder
        from marwright.encoder.padded import PaddedLayout
        from marwright.schemes.int8_rows import give_back

        built = give_back(module, weights, self.dtype)
        return built.laid_out(PaddedLayout(self.dtype)) if isinstance(built, Encoder) else built


FP16 = Half("fp16", "float16")
BF16 = Half("bf16", "bfloat16")
