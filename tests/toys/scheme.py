"""Weights in bfloat16, computed in float32: once as a third kind of int8, once as a precision of its own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from marwright.schemes.scheme import Fitted, Roundings, Scheme, Texts, Weights

if TYPE_CHECKING:
    from torch import nn


class Toy(Scheme):
    """Rounds linear weights."""

    def __init__(self, name: str, precision: str, activations: str | None) -> None:
        self.name, self.precision, self.activations = name, precision, activations

    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        from torch import nn

        from marwright.schemes.int8_rows import tensors_of

        made = copy.deepcopy(module)
        names = [name for name, child in made.named_modules() if isinstance(child, nn.Linear)]
        for name in names:
            linear = made.get_submodule(name)
            linear.weight.data = linear.weight.data.bfloat16().float()  # type: ignore[union-attr,operator]
        return Fitted(Weights(tensors_of(made)), {"toys": len(names)})

    def build(self, module: nn.Module, weights: Weights) -> nn.Module:
        module.load_state_dict(dict(weights.tensors))
        return module

    def roundings(self, model: Any, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Roundings:
        from marwright.schemes.rounding import token_roundings

        return token_roundings(model)


COARSE = Toy("toy-coarse", "int8", "coarse")
INT4 = Toy("toy-int4", "int4", None)
