"""Attention for texts without padding; all of it compiles to TorchScript."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from marwright.modules.packing import Rows


def attend(projected: Tensor, rows: Rows, mask: Tensor, heads: int) -> Tensor:
    """Attention within each text, in the precision of the mask.

    Args:
        projected: (tokens + idle, 3 * heads * size) queries, keys and values, in float32 or bfloat16.
        rows: how the texts lie in rows.
        mask: ``rows.mask``; in bfloat16 repeated for each head.
        heads: attention heads.

    Returns:
        (tokens + idle, heads * size) float32; of idle tokens anything.
    """
    moved = rows.gather.numel() > 0
    places = rows.number * rows.width
    idle = projected.size(0) - places
    projected = projected.index_select(0, rows.gather) if moved else projected[:places]
    split = projected.view(rows.number, rows.width, 3, heads, -1).permute(2, 0, 3, 1, 4)
    if mask.dtype == torch.bfloat16:
        products = split.reshape(3, rows.number * heads, rows.width, -1)
        if products.dtype == torch.bfloat16:
            context = attend_in_bfloat16(products, mask)
        else:
            context = attend_as_in_bfloat16(products, mask)
        context = context.view(rows.number, heads, rows.width, -1)
    elif moved:
        context = functional.scaled_dot_product_attention(split[0], split[1], split[2], mask, scale=1.0)
    else:
        context = functional.scaled_dot_product_attention(split[0], split[1], split[2], scale=1.0)
    context = context.transpose(1, 2).reshape(places, -1)
    if moved:
        return context.index_select(0, rows.places)
    return functional.pad(context, [0, 0, 0, idle]) if idle > 0 else context


def attend_in_bfloat16(split: Tensor, mask: Tensor) -> Tensor:
    """Attention by plain products in bfloat16, which beat the fused kernel on short rows.

    Args:
        split: (3, rows * heads, width, size) queries, keys and values in bfloat16.
        mask: (rows * heads, width, width) bfloat16, or empty.

    Returns:
        (rows * heads, width, size) float32.
    """
    keys = split[1].transpose(1, 2)
    scores = torch.baddbmm(mask, split[0], keys) if mask.numel() > 0 else torch.bmm(split[0], keys)
    # In place of the usual subtraction of the maximum, which costs three passes. No score of a trained encoder comes
    # near these bounds, within which exp() and its sums are finite; between texts it is as good as 0.
    weights = scores.clamp_(-80.0, 80.0).exp_()
    return torch.bmm(weights, split[2]) / weights.sum(2, keepdim=True, dtype=torch.float32)


def attend_as_in_bfloat16(split: Tensor, mask: Tensor) -> Tensor:
    """The same numbers by products in float32, which cost less to call: for few tokens.

    Args:
        split: (3, rows * heads, width, size) queries, keys and values in float32.
        mask: (rows * heads, width, width) bfloat16, or empty.

    Returns:
        (rows * heads, width, size) float32.
    """
    split = split.to(torch.bfloat16).to(torch.float32)
    scores = torch.bmm(split[0], split[1].transpose(1, 2))
    if mask.numel() > 0:
        scores = scores.add_(mask)
    weights = scores.to(torch.bfloat16).clamp_(-80.0, 80.0).exp_().to(torch.float32)
    return torch.bmm(weights, split[2]).to(torch.bfloat16) / weights.sum(2, keepdim=True)


def attend_from_first(query: Tensor, key_value: Tensor, text: Tensor, heads: int) -> Tensor:
    """Attention of one query per text.

    Args:
        query: (texts, heads * size) float32.
        key_value: (tokens + idle, 2 * heads * size) float32 keys and values.
        text: (tokens,) the text of each token.
        heads: attention heads.

    Returns:
        (texts, heads * size) float32.
    """
    texts, attended = query.shape
    tokens = text.numel()
    key, value = key_value[:tokens, :attended], key_value[:tokens, attended:]
    scores = (query.index_select(0, text) * key).view(tokens, heads, -1).sum(2)
    # exp() of much more is infinite; no score of a trained encoder comes near.
    weights = scores.clamp_(-80.0, 80.0).exp_()
    weighted = (value.view(tokens, heads, -1) * weights.unsqueeze(2)).view(tokens, attended)
    sums = torch.zeros([texts, attended]).index_add_(0, text, weighted).view(texts, heads, -1)
    totals = torch.zeros([texts, heads]).index_add_(0, text, weights)
    return (sums / totals.unsqueeze(2)).view(texts, attended)


def attend_from_one(query: Tensor, key_value: Tensor, tokens: int, heads: int) -> Tensor:
    """The same for one text, with fewer operations.

    Args:
        query: (1, heads * size) float32.
        key_value: (tokens + idle, 2 * heads * size) float32 keys and values.
        tokens: of the text.
        heads: attention heads.

    Returns:
        (1, heads * size) float32.
    """
    split = key_value[:tokens].view(tokens, 2, heads, -1)
    scores = torch.bmm(query.view(heads, 1, -1), split[:, 0].permute(1, 2, 0))
    weights = scores.clamp_(-80.0, 80.0).softmax(2)
    return torch.bmm(weights, split[:, 1].transpose(0, 1)).view(1, -1)
