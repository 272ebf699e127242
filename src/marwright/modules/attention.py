"""Attention for texts without padding; all of it compiles to TorchScript."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from marwright.modules.packing import Rows


def attend(projected: Tensor, rows: Rows, heads: int) -> Tensor:
    """Attention within each text.

    Args:
        projected: (tokens + idle, 3 * hidden) float32 queries, scaled already, keys and values.
        rows: how the texts lie in rows.
        heads: attention heads.

    Returns:
        (tokens + idle, hidden) float32; of idle tokens anything.
    """
    moved = rows.gather.numel() > 0
    places = rows.number * rows.width
    idle = projected.size(0) - places
    projected = projected.index_select(0, rows.gather) if moved else projected[:places]
    split = projected.view(rows.number, rows.width, 3, heads, -1).permute(2, 0, 3, 1, 4)
    mask = rows.mask if moved else None
    context = functional.scaled_dot_product_attention(split[0], split[1], split[2], mask, scale=1.0)
    context = context.transpose(1, 2).reshape(places, -1)
    if moved:
        return context.index_select(0, rows.places)
    return functional.pad(context, [0, 0, 0, idle]) if idle > 0 else context


def attend_from_first(query: Tensor, key_value: Tensor, text: Tensor, heads: int) -> Tensor:
    """Attention of one query per text.

    Args:
        query: (texts, hidden) float32.
        key_value: (tokens + idle, 2 * hidden) float32 keys and values.
        text: (tokens,) the text of each token.
        heads: attention heads.

    Returns:
        (texts, hidden) float32.
    """
    texts, hidden = query.shape
    tokens = text.numel()
    key, value = key_value[:tokens, :hidden], key_value[:tokens, hidden:]
    scores = (query.index_select(0, text) * key).view(tokens, heads, -1).sum(2)
    # exp() of much more is infinite; no score of a trained encoder comes near.
    weights = scores.clamp_(-80.0, 80.0).exp_()
    weighted = (value.view(tokens, heads, -1) * weights.unsqueeze(2)).view(tokens, hidden)
    sums = torch.zeros([texts, hidden]).index_add_(0, text, weighted).view(texts, heads, -1)
    totals = torch.zeros([texts, heads]).index_add_(0, text, weights)
    return (sums / totals.unsqueeze(2)).view(texts, hidden)


def attend_from_one(query: Tensor, key_value: Tensor, tokens: int, heads: int) -> Tensor:
    """The same for one text, with fewer operations.

    Args:
        query: (1, hidden) float32.
        key_value: (tokens + idle, 2 * hidden) float32 keys and values.
        tokens: of the text.
        heads: attention heads.

    Returns:
        (1, hidden) float32.
    """
    split = key_value[:tokens].view(tokens, 2, heads, -1)
    scores = torch.bmm(query.view(heads, 1, -1), split[:, 0].permute(1, 2, 0))
    weights = scores.clamp_(-80.0, 80.0).softmax(2)
    return torch.bmm(weights, split[:, 1].transpose(0, 1)).view(1, -1)
