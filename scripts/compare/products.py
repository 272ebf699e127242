"""The int8 matrix products of one call of the model, and how long they take alone on this core."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch

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

    def __init__(self, module: torch.nn.Module, ids: Array, mask: Array) -> None:
        """Find the products of a module's int8 layers by running it once."""
        self.found = products_of(module, ids, mask)
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


def products_of(module: torch.nn.Module, ids: Array, mask: Array) -> list[Product]:
    """The products that a module's int8 layers compute for a batch, in their order."""
    from marwright.modules.quantized import Int8Linear

    found: list[Product] = []

    def note(layer: Any, inputs: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
        inner = inputs[0].size(-1)
        found.append(Product(inputs[0].numel() // inner, inner, layer.scales.numel()))

    hooks = [child.register_forward_hook(note) for child in module.modules() if isinstance(child, Int8Linear)]
    with torch.inference_mode():
        module(torch.from_numpy(ids), torch.from_numpy(mask))
    for hook in hooks:
        hook.remove()
    return found
