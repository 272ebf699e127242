"""The int8 matrix products of one call of the model, and how long they take alone on this core."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch

from marwright.modules.packed_bert import EncoderShape
from marwright.modules.packing import within_budget

Array = npt.NDArray[Any]


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
    """The products of one batch, in their order, with operands of their shapes and layout, each layer with its own."""

    def __init__(self, shape: EncoderShape, mask: Array) -> None:
        """Find the products that an encoder's module computes for a batch with this attention mask."""
        self.found = products_of(shape, sorted(mask.sum(1).tolist()))
        self._operands = [
            (
                torch.randint(-127, 128, (product.rows, product.inner), dtype=torch.int8),
                # The weights lie as (out, in), as in the module.
                torch.randint(-127, 128, (product.out, product.inner), dtype=torch.int8).t(),
            )
            for product in self.found
        ]

    @property
    def operations(self) -> int:
        """Multiply-adds of one call."""
        return sum(product.operations for product in self.found)

    def seconds(self) -> float:
        """Compute them all once, and nothing else."""
        started = time.perf_counter()
        with torch.inference_mode():
            for left, right in self._operands:
                torch._int_mm(left, right)
        return time.perf_counter() - started


def products_of(shape: EncoderShape, lengths: list[int], token_budget: int = 512) -> list[Product]:
    """The int8 products that marwright's module computes for texts of these lengths (ascending)."""
    hidden, found = shape.hidden, list[Product]()

    def rest(rows: int) -> list[Product]:
        sizes = ((hidden, hidden), (hidden, shape.intermediate), (shape.intermediate, hidden))
        return [Product(rows, inner, out) for inner, out in sizes]

    for first, after in within_budget(lengths, token_budget):
        tokens, texts = sum(lengths[first:after]), after - first
        for _ in range(shape.layers - 1):
            found += [Product(tokens, hidden, 3 * hidden), *rest(tokens)]
        # The last layer's keys and values are of all tokens; the rest of it is of the first ones only.
        found += [Product(tokens, hidden, 2 * hidden), Product(texts, hidden, hidden), *rest(texts)]
    return [*found, Product(len(lengths), hidden, hidden)]
