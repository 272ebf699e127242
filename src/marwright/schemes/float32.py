"""Float32: nothing is quantized, but for word embeddings where that is asked for."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from marwright.schemes.scheme import Fitted, Scheme, Texts, Weights

if TYPE_CHECKING:
    import torch
    from torch import nn


class Float32(Scheme):
    """Ordinary layers."""

    name = "float32"
    precision = "fp32"
    quantized: ClassVar[bool] = False
    capturable: ClassVar[bool] = True
    _dtype = "float32"

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
        tensors = {
            # Scales of int8 embeddings stay as they are: the smallest would vanish in float16.
            name: tensor.to(self.dtype) if tensor.dtype == torch.float32 and not name.endswith(".scales") else tensor
            for name, tensor in tensors_of(made).items()
        }
        return Fitted(Weights(tensors, embeddings=tuple(embeddings)))

    def captured(self, module: nn.Module, weights: Weights) -> nn.Module | None:
        from marwright.encoder.captured import CapturedLayout
        from marwright.encoder.encoder import Encoder

        built = self.build(module, weights)
        return built.laid_out(CapturedLayout()) if isinstance(built, Encoder) else built
