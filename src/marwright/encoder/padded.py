"""The layout for GPUs: the batch as it comes, padding under a mask.

Leaving padding out means asking the device how long each text is. A GPU would wait for each such question, and a CUDA
graph cannot ask at all. Here every shape follows from the batch's own, so that a graph can record it once.
"""

from typing import List, NamedTuple  # noqa: UP035 (TorchScript reads these)

import torch
from torch import Tensor, nn
from torch.nn import functional


class Padded(NamedTuple):
    """A batch."""

    tokens: Tensor
    """(batch, length) ids."""
    positions: Tensor
    """(length,) the same for every text."""
    mask: Tensor
    """(batch, 1, 1, length) to add to scores: 0 for real tokens, minus infinity for padding."""
    half: bool
    first_half: bool


class PaddedLayout(nn.Module):
    """Leaves every token where it is."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        """Take the precision of attention, which is that of the weights."""
        super().__init__()
        self.dtype = dtype

    def enter(self, ids: Tensor, attention_mask: Tensor) -> Padded:
        """Take a padded batch, (batch, length) int64 each."""
        positions = torch.arange(ids.size(1), device=ids.device)
        # Once for all layers, in the precision of attention: a boolean mask would be turned into this in each.
        mask = torch.zeros(attention_mask.shape, dtype=self.dtype, device=ids.device)
        mask = mask.masked_fill(attention_mask == 0, -float("inf"))[:, None, None, :]
        return Padded(ids, positions, mask, False, False)

    def leave(self, logits: Tensor, batch: Padded) -> Tensor:
        """Nothing was moved."""
        return logits

    def pieces(self, batch: Padded) -> List[Padded]:  # noqa: UP006
        """A GPU wants all at once."""
        return [batch]

    def firsts(self, states: Tensor, places: Padded) -> Tensor:
        """The first token of each text, (batch, hidden), of (batch, length, hidden)."""
        return states[:, 0]

    def attend(self, projected: Tensor, places: Padded, heads: int, scale: float) -> Tensor:
        """Attention within each text.

        Return (batch, length, heads * size) for (batch, length, 3 * heads * size) queries, keys and values.
        """
        batch, length = projected.size(0), projected.size(1)
        split = projected.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(split[0], split[1], split[2], places.mask, scale=scale)
        return context.transpose(1, 2).reshape(batch, length, -1)

    def attend_from_first(self, query: Tensor, key_value: Tensor, places: Padded, heads: int, scale: float) -> Tensor:
        """Attention of one query per text.

        Return (batch, heads * size) for as many queries, and (batch, length, 2 * heads * size) keys and values.
        """
        batch, length = key_value.size(0), key_value.size(1)
        split = key_value.view(batch, length, 2, heads, -1).permute(2, 0, 3, 1, 4)
        asked = query.view(batch, heads, 1, -1)
        context = functional.scaled_dot_product_attention(asked, split[0], split[1], places.mask, scale=scale)
        return context.view(batch, -1)
