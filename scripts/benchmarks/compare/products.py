"""The int8 matrix products of one call of the model, and how long they take alone on this core."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch

from marwright.encoder.packing import within_budget
from marwright.encoder.shape import EncoderShape, LayerShape
from marwright.schemes.static_layers import MANY
from marwright.schemes.static_linear import StaticInt8Linear, cut_to_bytes_

Array = npt.NDArray[Any]
TOKEN_BUDGET = 512
"""Most tokens that the module computes at once."""


@dataclass(frozen=True)
class Product:
    """(rows, inner) times (inner, out)."""

    rows: int
    inner: int
    out: int

    @property
    def operations(self) -> int:
        """Multiply-adds."""
        return self.rows * self.inner * self.out


class Products:
    """The products of one batch, in their order, by the module's own layers, each with weights of its own."""

    def __init__(self, shape: EncoderShape, mask: Array) -> None:
        """Find the products that an encoder's module computes for a batch with this attention mask."""
        self.found = products_of(shape, sorted(mask.sum(1).tolist()))
        self._calls = [_call(product) for product in self.found]

    @property
    def operations(self) -> int:
        """Multiply-adds of one call."""
        return sum(product.operations for product in self.found)

    def seconds(self) -> float:
        """Compute them all once, and nothing else."""
        started = time.perf_counter()
        with torch.inference_mode():
            for call in self._calls:
                call()
        return time.perf_counter() - started


def _call(product: Product) -> Callable[[], torch.Tensor]:
    """The product as the module computes it, from float32 for few tokens and from bytes for many."""
    weights = torch.randint(-127, 128, (product.out, product.inner), dtype=torch.int8)
    linear = StaticInt8Linear(weights, torch.rand(product.out), torch.rand(product.out))
    states = torch.randn(product.rows, product.inner)
    if product.rows >= MANY:
        quantized = cut_to_bytes_(states + 128.5)
        return lambda: linear.product(quantized, torch.float32)  # type: ignore[arg-type]
    return lambda: linear(states)


def products_of(shape: EncoderShape, lengths: list[int]) -> list[Product]:
    """The int8 products that marwright's module computes for texts of these lengths (ascending)."""
    hidden, found = shape.hidden, list[Product]()

    def rest(rows: int, layer: LayerShape) -> list[Product]:
        attended = layer.heads * shape.head_size
        sizes = ((attended, hidden), (hidden, layer.intermediate), (layer.intermediate, hidden))
        return [Product(rows, inner, out) for inner, out in sizes]

    for first, after in within_budget(lengths, TOKEN_BUDGET):
        tokens, texts = sum(lengths[first:after]), after - first
        for layer in shape.layers[:-1]:
            found += [Product(tokens, hidden, 3 * layer.heads * shape.head_size), *rest(tokens, layer)]
        last = shape.layers[-1]
        attended = last.heads * shape.head_size
        # The last layer's keys and values are of all tokens; the rest of it is of the first ones only.
        found += [Product(tokens, hidden, 2 * attended), Product(texts, hidden, attended), *rest(texts, last)]
    return [*found, Product(len(lengths), hidden, hidden)]
