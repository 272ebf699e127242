"""Lets a model compute with the numbers that it will be quantized to, while its own weights stay exact.

Simulated quantization as Jacob et al. 2018 describe it and Zafrir et al. 2019 (Q8BERT) use it for BERT. What is rounded
how, the scheme says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from marwright.encoder.layer_parts import replace
from marwright.schemes.rounding import RoundedLinear, TokenScales
from marwright.schemes.scheme import Roundings


@contextmanager
def rounding(model: Any, roundings: Roundings, *, embeddings: bool) -> Iterator[None]:
    """Let a model compute with rounded numbers within the block; afterwards it computes exactly again.

    Word embeddings, if they are rounded too, have a scale for each row.
    """
    with ExitStack() as undone:
        for name, how in roundings.items():
            linear = model.get_submodule(name)
            replace(model, name, RoundedLinear(linear, how))
            undone.callback(replace, model, name, linear)
        if embeddings:
            # A token's embedding is one row of the table: rounding what comes out is rounding the table.
            words = model.get_input_embeddings()
            undone.enter_context(words.register_forward_hook(lambda _m, _i, output: TokenScales()(output)))
        yield
