"""Batches of every shape for tiny classifiers of every family, and how far two answers lie apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from marwright.pretrained.tokenization import padded
from tiny_models import POSITIONS, VOCABULARY

FAMILIES = ("bert", "distilbert", "roberta")
BATCHES = {
    "mixed lengths": (7, 1, 40, 2, 13, 13, 5),
    "equal lengths": (9, 9, 9, 9),
    "one text": (11,),
    "one token": (1,),
    "many single tokens": (1, 1, 1),
    "as long as it may be": (POSITIONS,),
    "short after long": (40, 3),
}
TOLERANCE = 1e-5


def rows_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Random token ids; none is a padding id, which RoBERTa would count otherwise."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(4, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


def batch_of(lengths: Sequence[int], *, filler: int = 1, extra: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A padded batch, its columns of padding extended by ``extra``."""
    ids, mask = padded(rows_of(lengths, seed), filler)
    return nn.functional.pad(ids, (0, extra), value=filler), nn.functional.pad(mask, (0, extra))


def largest_difference(one: Tensor, other: Tensor) -> float:
    assert one.shape == other.shape
    assert one.dtype == other.dtype == torch.float32
    return (one - other).abs().max().item()
