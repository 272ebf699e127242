"""Brings word embeddings to another width, keeping as much of them as fits."""

from __future__ import annotations

import torch
from torch import Tensor


def at_width(words: Tensor, width: int) -> Tensor:
    """Word embeddings of another width.

    Narrower ones are the projection that loses the least in squares (truncated singular value decomposition, Eckart and
    Young 1936); in wider ones zeros follow. Return (vocabulary, width), of the same type, for (vocabulary, old width).
    """
    old = words.size(1)
    if width >= old:
        return torch.nn.functional.pad(words, (0, width - old))
    exact = words.double()
    # The right singular vectors are the eigenvectors of a matrix that is only as large as the old width.
    _, vectors = torch.linalg.eigh(exact.t() @ exact)
    projected: Tensor = exact @ vectors[:, -width:].flip(1)
    return projected.to(words.dtype)
