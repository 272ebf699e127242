"""Attention for texts without padding; all of it compiles to TorchScript."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from marwright.modules.packing import Rows


def attend(projected: Tensor, rows: Rows, mask: Tensor, heads: int) -> Tensor:
    """Attention within each text.

    Args:
        projected: (tokens, 3 * hidden) queries, keys and values, in float32 or bfloat16.
        rows: how the texts lie in rows.
        mask: ``rows.mask`` in the type of ``projected``; for bfloat16 repeated for each head.
        heads: attention heads.

    Returns:
        (tokens, hidden) float32.
    """
    if rows.gather.numel() > 0:
        projected = projected.index_select(0, rows.gather)
    split = projected.view(rows.number, rows.width, 3, heads, -1).permute(2, 0, 3, 1, 4)
    if projected.dtype == torch.bfloat16:
        context = attend_in_bfloat16(split.reshape(3, rows.number * heads, rows.width, -1), mask)
        context = context.view(rows.number, heads, rows.width, -1)
    elif rows.gather.numel() > 0:
        context = functional.scaled_dot_product_attention(split[0], split[1], split[2], mask, scale=1.0)
    else:
        context = functional.scaled_dot_product_attention(split[0], split[1], split[2], scale=1.0)
    context = context.transpose(1, 2).reshape(rows.number * rows.width, -1)
    if rows.gather.numel() > 0:
        context = context.index_select(0, rows.places)
    return context


def attend_in_bfloat16(split: Tensor, mask: Tensor) -> Tensor:
    """Attention by plain products in bfloat16, which beat the fused kernel on short rows.

    Args:
        split: (3, rows * heads, width, size) queries, keys and values.
        mask: (rows * heads, width, width), or empty.

    Returns:
        (rows * heads, width, size) float32.
    """
    keys = split[1].transpose(1, 2)
    scores = torch.baddbmm(mask, split[0], keys) if mask.numel() > 0 else torch.bmm(split[0], keys)
    # Without the usual subtraction of the maximum: scores are far from where exp() overflows.
    weights = scores.exp_()
    return torch.bmm(weights, split[2]) / weights.sum(2, keepdim=True, dtype=torch.float32)


def attend_from_first(query: Tensor, key_value: Tensor, text: Tensor, heads: int) -> Tensor:
    """Attention of one query per text.

    Args:
        query: (texts, hidden) float32.
        key_value: (tokens, 2 * hidden) float32 keys and values.
        text: (tokens,) the text of each token.
        heads: attention heads.

    Returns:
        (texts, hidden) float32.
    """
    texts, hidden = query.shape
    tokens = key_value.size(0)
    key, value = key_value[:, :hidden], key_value[:, hidden:]
    scores = (query.index_select(0, text) * key).view(tokens, heads, -1).sum(2)
    # exp() of much more is infinite; no score of a trained encoder comes near.
    weights = scores.clamp_(-80.0, 80.0).exp_()
    weighted = (value.view(tokens, heads, -1) * weights.unsqueeze(2)).view(tokens, hidden)
    sums = torch.zeros([texts, hidden]).index_add_(0, text, weighted).view(texts, heads, -1)
    totals = torch.zeros([texts, heads]).index_add_(0, text, weights)
    return (sums / totals.unsqueeze(2)).view(texts, hidden)
