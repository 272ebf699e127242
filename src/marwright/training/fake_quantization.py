"""Lets a model compute with the numbers that it will be quantized to, while its own weights stay exact.

Simulated quantization as Jacob et al. 2018 describe it and Zafrir et al. 2019 (Q8BERT) use it for BERT. What is rounded
how, the scheme says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from marwright.schemes.rounding import RoundedLinear, TokenScales
from marwright.schemes.scheme import Roundings


@contextmanager
def rounding(model: Any, roundings: Roundings, *, embeddings: bool) -> Iterator[None]:
    """Let a model compute with rounded numbers within the block; afterwards it computes exactly again.

    Args:
        model: a transformers classifier.
        roundings: what comes in front of which linear layer.
        embeddings: round word embeddings too, each row with a scale of its own.
    """
    exact = {name: model.get_submodule(name) for name in roundings}
    for name, linear in exact.items():
        _put(model, name, RoundedLinear(linear, roundings[name]))
    words = model.get_input_embeddings()
    # A token's embedding is one row of the table: rounding what comes out is rounding the table.
    hook = words.register_forward_hook(lambda _m, _i, output: TokenScales()(output)) if embeddings else None
    try:
        yield
    finally:
        for name, linear in exact.items():
            _put(model, name, linear)
        if hook is not None:
            hook.remove()


def _put(model: nn.Module, name: str, child: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, child)
