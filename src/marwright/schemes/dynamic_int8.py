"""Int8 with one scale per token, found as it comes: for every processor and every module with linear layers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

from marwright.schemes.scheme import Fitted, Roundings, Scheme, Texts, Weights

if TYPE_CHECKING:
    from torch import nn


class DynamicInt8(Scheme):
    """See :class:`~marwright.schemes.int8_rows.Int8Linear`."""

    name = "int8-dynamic"
    precision = "int8"
    activations = "dynamic"
    by_layer: ClassVar[bool] = True

    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        return Fitted(self.mixed(module, frozenset(), int8_embeddings=int8_embeddings)[1])

    def mixed(self, module: nn.Module, kept: frozenset[str], *, int8_embeddings: bool) -> tuple[nn.Module, Weights]:
        """Quantize a copy of a module, but for some layers, which stay in float32."""
        import torch

        from marwright.schemes.int8_rows import KEPT_IN_FLOAT, quantize_embeddings, quantize_linears, tensors_of

        made = copy.deepcopy(module)
        linears = quantize_linears(made, KEPT_IN_FLOAT | kept)
        embeddings = quantize_embeddings(made, torch.float32, keep=kept) if int8_embeddings else []
        return made, Weights(tensors_of(made), tuple(linears), tuple(embeddings))

    def roundings(self, model: Any, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Roundings:
        from marwright.schemes.rounding import token_roundings

        return token_roundings(model)
