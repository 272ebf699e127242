"""The layout for ``torch.export``: real tokens in one row, attention on the padded batch, sizes as symbols.

A captured graph has no loop over texts and no choice by size, as the layout of real tokens has.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Captured(NamedTuple):
    """Where the tokens of a batch are in the padded batch."""

    tokens: Tensor
    """(tokens,) ids of the real tokens."""
    positions: Tensor
    """(tokens,) of each token in its text, from 0."""
    real: Tensor
    """(tokens,) the place of each real token, batch * length places in all."""
    token: Tensor
    """(batch * length,) the token at each place; padding shows the token before it."""
    mask: Tensor
    """(batch, length) float32, minus infinity at padding."""
    half: bool
    first_half: bool


class CapturedLayout(nn.Module):
    """Finds the real tokens without a number that only a run can tell."""

    def __init__(self, half: bool = False) -> None:
        """Say whether attention computes in bfloat16."""
        super().__init__()
        self.half_attention = half

    def enter(self, ids: Tensor, attention_mask: Tensor) -> Captured:
        """Take a padded batch, (batch, length) int64 each."""
        batch, length = attention_mask.shape
        flat = attention_mask.reshape(-1)
        real = flat.nonzero()[:, 0]
        # What the mask promises and a graph cannot know.
        torch._check(real.size(0) >= batch)  # type: ignore[no-untyped-call]
        torch._check(real.size(0) <= batch * length)  # type: ignore[no-untyped-call]
        # Scattered, so that it is computed once: what is made point by point would be made again in every layer.
        mask = torch.full((batch * length,), -torch.inf).index_put((real,), torch.zeros(()))
        token = (flat.cumsum(0) - 1).clamp(min=0)
        tokens = ids.reshape(-1)[real]
        return Captured(
            tokens, real % length, real, token, mask.view(batch, length), self.half_attention, self.half_attention
        )

    def leave(self, logits: Tensor, batch: Captured) -> Tensor:
        """Texts keep their order."""
        return logits

    def pieces(self, batch: Captured) -> list[Captured]:
        """Cutting a large batch is left to the runtime in the handler."""
        return [batch]

    def firsts(self, states: Tensor, places: Captured) -> Tensor:
        """The first token of each text, (batch, hidden), of (tokens, hidden)."""
        return states[places.token.view(places.mask.shape)[:, 0]]

    def attend(self, projected: Tensor, places: Captured, heads: int, scale: float) -> Tensor:
        """Attention within each text, in the precision of the projections.

        Return (tokens, heads * size) float32 for (tokens, 3 * heads * size) queries, keys and values.
        """
        batch, length = places.mask.shape
        split = projected[places.token].view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = split.reshape(3, batch * heads, length, -1).unbind()
        scores = masked_scores(query, key, places.mask, heads, scale)
        # In place of the usual subtraction of the maximum; no score of a trained encoder comes near these bounds.
        weights = scores.clamp(-80.0, 80.0).exp().to(projected.dtype).view(batch * heads, length, length)
        context = torch.bmm(weights, value).float() / weights.float().sum(2, keepdim=True)
        context = context.view(batch, heads, length, -1).transpose(1, 2)
        return context.reshape(batch * length, -1)[places.real]

    def attend_from_first(self, query: Tensor, key_value: Tensor, places: Captured, heads: int, scale: float) -> Tensor:
        """Attention of one query per text.

        Return (texts, heads * size) float32 for as many queries, and (tokens, 2 * heads * size) keys and values.
        """
        batch, length = places.mask.shape
        split = key_value[places.token].view(batch, length, 2, heads, -1).permute(2, 0, 3, 1, 4)
        key, value = split.reshape(2, batch * heads, length, -1).unbind()
        scores = masked_scores(query.view(batch * heads, 1, -1), key, places.mask, heads, scale)
        weights = torch.softmax(scores, 3).to(key_value.dtype)
        return torch.bmm(weights.view(batch * heads, 1, length), value).float().view(batch, -1)


def masked_scores(query: Tensor, key: Tensor, mask: Tensor, heads: int, scale: float) -> Tensor:
    """How much each token attends to each: (batch, heads, queries, length) float32, minus infinity at padding.

    It takes (batch * heads, queries, size), (batch * heads, length, size) and the (batch, length) float32 mask.
    """
    batch, length = mask.shape
    scores = torch.bmm(query, key.transpose(1, 2)).view(batch, heads, query.size(1), length).float()
    return scores * scale + mask.view(batch, 1, 1, length)
