"""Compares an exported module with the one it was made from, over batch and length shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from marwright.encoder.logits import Module, logits_of
from marwright.errors import ExportError
from marwright.mar.golden import TOLERANCE
from marwright.pretrained.tokenization import padded


@dataclass(frozen=True)
class Difference:
    """The largest difference of a logit on one batch."""

    batch: int
    shortest: int
    longest: int
    largest: float

    @property
    def shape(self) -> str:
        """Batch × length; ``16×4–64`` is a batch of 16 with 4 to 64 tokens."""
        length = f"{self.longest}" if self.shortest == self.longest else f"{self.shortest}–{self.longest}"
        return f"{self.batch}×{length}"


def shape_table(rows: Sequence[Sequence[int]], max_length: int) -> list[list[list[int]]]:
    """Batches that a server will meet, made of token ids of real texts: one token or many, alone, even and mixed."""
    by_length = sorted(rows, key=len)
    shortest, middle, longest = by_length[0], by_length[len(rows) // 2], by_length[-1]
    # Real texts rarely reach the limit: repeat the inner tokens of the longest one up to it.
    inner = list(longest[1:-1]) or [longest[0]]
    full = [longest[0], *(inner * max_length)[: max_length - 2], longest[-1]]
    mixed = [list(by_length[round(i * (len(rows) - 1) / 15)]) for i in range(16)]
    return [
        [[int(shortest[0])]],
        [list(shortest)],
        [list(middle)],
        [full],
        [list(middle)] * 4,
        mixed,
        [*mixed[:15], full],
        [full] * 16,
        [list(by_length[round(i * (len(rows) - 1) / 63)]) for i in range(64)],
    ]


def compare(exported: Module, eager: Module, table: Sequence[Sequence[Sequence[int]]], filler: int) -> list[Difference]:
    """Run both modules on every batch of a shape table."""
    found = []
    with torch.inference_mode():
        for batch in table:
            ids, mask = padded(batch, filler)
            # Twice: TorchScript compiles a specialised version in its first runs.
            exported(ids, mask)
            largest = (exported(ids, mask).float() - eager(ids, mask).float()).abs().max().item()
            lengths = [len(row) for row in batch]
            found.append(Difference(len(batch), min(lengths), max(lengths), largest))
    return found


def check(differences: Sequence[Difference], tolerance: float, what: str) -> None:
    """Refuse an export that answers differently.

    Raises:
        ExportError: a difference is above the tolerance or not a number; the message has the whole table.
    """
    # Written so that a NaN fails.
    if all(difference.largest <= tolerance for difference in differences):
        return
    table = "\n".join(
        f"  {difference.shape:>9}  {difference.largest:.2e}  {'' if difference.largest <= tolerance else 'too large'}"
        for difference in differences
    )
    raise ExportError(
        f"{what}: the exported module differs from the eager one by more than export.tolerance = {tolerance:g}\n{table}"
    )


def check_steady(
    module: Module,
    rows: Sequence[Sequence[int]],
    filler: int,
    distance: Callable[[npt.NDArray[np.floating[Any]]], float],
) -> None:
    """Refuse a module whose answers depend on what is computed beside them, as int8 may in a very small one.

    ``distance`` is the largest difference of a probability between logits, (rows, labels), and what is recorded.

    Raises:
        ExportError: alone, or all in one batch, the texts get other answers than an archive may give.
    """
    with torch.inference_mode():
        together = module(*padded(rows, filler)).float().numpy()
    alone = np.concatenate([logits_of(module, [row], filler) for row in rows])
    off = max(distance(together), distance(alone))
    if not off <= TOLERANCE:
        raise ExportError(
            f"Answers move by up to {off:.3f} of a probability with the texts that are computed beside them, and an "
            f"archive may be {TOLERANCE} off. Models this small are too coarse in int8: write `compression: "
            "{cpu: fp32}`; nothing is trained again."
        )
