"""Int8 with one scale per token, found as it comes: for every processor and every module with linear layers."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from marwright.schemes.int8_rows import KEPT_IN_FLOAT, give_back, quantize_embeddings, quantize_linears, tensors_of
from marwright.schemes.rounding import token_roundings
from marwright.schemes.scheme import Fitted, Roundings, Scheme, Texts, Weights


class DynamicInt8(Scheme):
    """See :class:`~marwright.schemes.int8_rows.Int8Linear`."""

    name = "int8-dynamic"

    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        return Fitted(self.quantized(module, frozenset(), int8_embeddings=int8_embeddings)[1])

    def quantized(self, module: nn.Module, kept: frozenset[str], *, int8_embeddings: bool) -> tuple[nn.Module, Weights]:
        """Quantize a copy of a module, but for some layers, which stay in float32."""
        made = copy.deepcopy(module)
        linears = quantize_linears(made, KEPT_IN_FLOAT | kept)
        embeddings = quantize_embeddings(made, torch.float32, keep=kept) if int8_embeddings else []
        return made, Weights(tensors_of(made), tuple(linears), tuple(embeddings))

    def build(self, module: nn.Module, weights: Weights) -> nn.Module:
        return give_back(module, weights, torch.float32)

    def roundings(self, model: Any, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Roundings:
        return token_roundings(model)
