"""Float32: nothing is quantized, but for word embeddings where that is asked for."""

from __future__ import annotations

import copy

import torch
from torch import nn

from marwright.encoder.captured import CapturedLayout
from marwright.encoder.encoder import Encoder
from marwright.schemes.int8_rows import give_back, quantize_embeddings, tensors_of
from marwright.schemes.scheme import Fitted, Scheme, Texts, Weights


class Float32(Scheme):
    """Ordinary layers."""

    name = "float32"

    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        made = copy.deepcopy(module)
        embeddings = quantize_embeddings(made, torch.float32) if int8_embeddings else []
        return Fitted(Weights(tensors_of(made), embeddings=tuple(embeddings)))

    def build(self, module: nn.Module, weights: Weights) -> nn.Module:
        return give_back(module, weights, torch.float32)

    def captured(self, module: nn.Module, weights: Weights) -> nn.Module | None:
        built = self.build(module, weights)
        return built.laid_out(CapturedLayout()) if isinstance(built, Encoder) else built
