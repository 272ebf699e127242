"""Float32: nothing is quantized, but for word embeddings where that is asked for."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from marwright.schemes.scheme import Fitted, Scheme, Texts, Weights

if TYPE_CHECKING:
    from torch import nn


class Float32(Scheme):
    """Ordinary layers."""

    name = "float32"
    precision = "fp32"
    quantized: ClassVar[bool] = False
    capturable: ClassVar[bool] = True

    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        import torch

        from marwright.schemes.int8_rows import quantize_embeddings, tensors_of

        made = copy.deepcopy(module)
        embeddings = quantize_embeddings(made, torch.float32) if int8_embeddings else []
        return Fitted(Weights(tensors_of(made), embeddings=tuple(embeddings)))

    def build(self, module: nn.Module, weights: Weights) -> nn.Module:
        import torch

        from marwright.schemes.int8_rows import give_back

        return give_back(module, weights, torch.float32)

    def captured(self, module: nn.Module, weights: Weights) -> nn.Module | None:
        from marwright.encoder.captured import CapturedLayout
        from marwright.encoder.encoder import Encoder

        built = self.build(module, weights)
        return built.laid_out(CapturedLayout()) if isinstance(built, Encoder) else built
