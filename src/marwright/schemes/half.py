"""16 bits for GPUs: float16, or bfloat16 with the range of float32 and an eighth of float16's exactness."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from marwright.schemes.scheme import Fitted, Scheme, Texts, Weights

if TYPE_CHECKING:
    import torch
    from torch import nn


class Half(Scheme):
    """Everything in 16 bits, but the scales of int8 embeddings: the smallest would vanish in float16."""

    on_gpu: ClassVar[bool] = True
    quantized: ClassVar[bool] = False

    def __init__(self, name: str, dtype: str) -> None:
        """Take a name, and the type's own in torch."""
        self.name = self.precision = name
        self._dtype = dtype

    @property
    def dtype(self) -> torch.dtype:
        import torch

        found: torch.dtype = getattr(torch, self._dtype)
        return found

    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        import torch

        from marwright.schemes.int8_rows import quantize_embeddings, tensors_of

        made = copy.deepcopy(module)
        embeddings = quantize_embeddings(made, self.dtype) if int8_embeddings else []
        halved = {
            name: tensor.to(self.dtype) if tensor.dtype == torch.float32 and not name.endswith(".scales") else tensor
            for name, tensor in tensors_of(made).items()
        }
        return Fitted(Weights(halved, embeddings=tuple(embeddings)))

    def build(self, module: nn.Module, weights: Weights) -> nn.Module:
        from marwright.encoder.encoder import Encoder
        from marwright.encoder.padded import PaddedLayout
        from marwright.schemes.int8_rows import give_back

        built = give_back(module, weights, self.dtype)
        return built.laid_out(PaddedLayout(self.dtype)) if isinstance(built, Encoder) else built


FP16 = Half("fp16", "float16")
BF16 = Half("bf16", "bfloat16")
