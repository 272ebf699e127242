"""The layout for CPUs: the real tokens of a batch one after another, without padding; TorchScript can compile it.

Texts are sorted by length. Linear layers, norms and activations run on one long row of tokens. For attention, texts lie
side by side in rows of one width under a mask. A large batch is cut into pieces, so that what lies between two layers
stays in the core's cache.
"""

from typing import Dict, List, NamedTuple, Sequence  # noqa: UP035 (TorchScript reads these)

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.encoder.packing import Packed, arrange, idle_tokens, pack, text_of_token, within_budget

# Tokens of a piece; a longer text is a piece of its own.
TOKEN_BUDGET = 512


class RealTokens(NamedTuple):
    """One piece of a batch."""

    tokens: Tensor
    """(tokens + idle,) ids."""
    positions: Tensor
    """(tokens + idle,) of each token in its text, from 0."""
    lengths: Tensor
    """(texts,) ascending."""
    number: int
    """Rows of attention."""
    width: int
    """Places in a row."""
    gather: Tensor
    """(number * width,) the token at each place; empty if all texts have one length, and each is a row."""
    places: Tensor
    """(tokens + idle,) the place of each token."""
    masks: Dict[int, Tensor]  # noqa: UP006
    """By the number of heads, what is added to scores: (rows, 1, width, width) float32, or bfloat16 for each head."""
    half: bool
    """Attention computes in bfloat16."""
    first_half: bool
    """So does that of the last layer; never here."""


class RealTokensLayout(nn.Module):
    """Lays out the real tokens of a batch."""

    def __init__(self, heads: Sequence[int], half: bool = False, rounded_from: int = 0) -> None:
        """Take the heads of the layers; ``half`` is to attend in bfloat16, on processors that have it.

        From ``rounded_from`` tokens on, idle ones are added, so that few different numbers occur; 0: none are.
        """
        super().__init__()
        self.heads: List[int] = sorted(set(heads))  # noqa: UP006
        self.half_attention = half
        self.rounded_from = rounded_from
        self.token_budget = TOKEN_BUDGET

    def enter(self, ids: Tensor, attention_mask: Tensor) -> Packed:
        """Take a padded batch, (texts, length) int64 each."""
        return pack(ids, attention_mask)

    def leave(self, logits: Tensor, batch: Packed) -> Tensor:
        """Put logits of sorted texts into the order of the batch."""
        if logits.size(0) == 1:
            return logits
        return torch.empty_like(logits).index_copy_(0, batch.order, logits)

    def pieces(self, batch: Packed) -> List[RealTokens]:  # noqa: UP006
        """Cut a batch between texts."""
        sizes: List[int] = batch.lengths.tolist()  # noqa: UP006
        half = self.half_attention and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        found: List[RealTokens] = []  # noqa: UP006
        start = 0
        for first, after in within_budget(sizes, self.token_budget):
            end = start + sum(sizes[first:after])
            tokens, positions = batch.tokens[start:end], batch.positions[start:end]
            idle = idle_tokens(end - start) if 0 < self.rounded_from <= end - start else 0
            if idle > 0:
                tokens, positions = functional.pad(tokens, [0, idle]), functional.pad(positions, [0, idle])
            rows = arrange(sizes[first:after], idle)
            masks: Dict[int, Tensor] = {}  # noqa: UP006
            for heads in self.heads:
                masks[heads] = mask_for(rows.mask, heads, half)
            found.append(
                RealTokens(
                    tokens,
                    positions,
                    batch.lengths[first:after],
                    rows.number,
                    rows.width,
                    rows.gather,
                    rows.places,
                    masks,
                    half,
                    False,
                )
            )
            start = end
        return found

    def firsts(self, states: Tensor, places: RealTokens) -> Tensor:
        """The first token of each text, (texts, hidden), of (tokens + idle, hidden)."""
        if places.lengths.numel() == 1:
            return states[:1]
        return states.index_select(0, places.lengths.cumsum(0) - places.lengths)

    def attend(self, projected: Tensor, places: RealTokens, heads: int, scale: float) -> Tensor:
        """Attention within each text.

        Return (tokens + idle, heads * size) float32, of idle tokens anything, for (tokens + idle, 3 * heads * size)
        queries, keys and values in float32 or bfloat16.
        """
        moved = places.gather.numel() > 0
        count = places.number * places.width
        idle = projected.size(0) - count
        projected = projected.index_select(0, places.gather) if moved else projected[:count]
        split = projected.view(places.number, places.width, 3, heads, -1).permute(2, 0, 3, 1, 4)
        mask = places.masks[heads]
        if places.half:
            products = split.reshape(3, places.number * heads, places.width, -1)
            if products.dtype == torch.bfloat16:
                context = attend_in_bfloat16(products, mask, scale)
            else:
                context = attend_as_in_bfloat16(products, mask, scale)
            context = context.view(places.number, heads, places.width, -1)
        elif moved:
            context = functional.scaled_dot_product_attention(split[0], split[1], split[2], mask, scale=scale)
        else:
            context = functional.scaled_dot_product_attention(split[0], split[1], split[2], scale=scale)
        context = context.transpose(1, 2).reshape(count, -1)
        if moved:
            return context.index_select(0, places.places)
        return functional.pad(context, [0, 0, 0, idle]) if idle > 0 else context

    def attend_from_first(
        self, query: Tensor, key_value: Tensor, places: RealTokens, heads: int, scale: float
    ) -> Tensor:
        """Attention of one query per text, all in float32.

        Return (texts, heads * size) for as many queries, and (tokens + idle, 2 * heads * size) keys and values.
        """
        if places.lengths.numel() == 1:
            return attend_from_one(query, key_value, int(places.lengths), heads, scale)
        return attend_from_many(query, key_value, text_of_token(places.lengths), heads, scale)


def mask_for(mask: Tensor, heads: int, half: bool) -> Tensor:
    """The (rows, 1, width, width) mask in the precision of attention; in bfloat16 it is repeated for each head."""
    if not half:
        return mask
    mask = mask.to(torch.bfloat16)
    if mask.numel() == 0:
        return mask
    return mask.expand(mask.size(0), heads, mask.size(2), mask.size(3)).flatten(0, 1)


def attend_in_bfloat16(split: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention by plain products in bfloat16, which beat the fused kernel on short rows.

    Return (rows * heads, width, size) float32 for (3, rows * heads, width, size) queries, keys and values in bfloat16;
    the mask is (rows * heads, width, width) bfloat16, or empty.
    """
    keys = split[1].transpose(1, 2)
    if mask.numel() > 0:
        scores = torch.baddbmm(mask, split[0], keys, alpha=scale)
    else:
        scores = torch.bmm(split[0], keys)
        if scale != 1.0:
            scores = scores.mul_(scale)
    # In place of the usual subtraction of the maximum, which costs three passes. No score of a trained encoder comes
    # near these bounds, within which exp() and its sums are finite; between texts it is as good as 0.
    weights = scores.clamp_(-80.0, 80.0).exp_()
    return torch.bmm(weights, split[2]) / weights.sum(2, keepdim=True, dtype=torch.float32)


def attend_as_in_bfloat16(split: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The same numbers by products in float32, which cost less to call: for few tokens. It takes them in float32."""
    split = split.to(torch.bfloat16).to(torch.float32)
    scores = torch.bmm(split[0], split[1].transpose(1, 2))
    if scale != 1.0:
        scores = scores.mul_(scale)
    if mask.numel() > 0:
        scores = scores.add_(mask)
    weights = scores.to(torch.bfloat16).clamp_(-80.0, 80.0).exp_().to(torch.float32)
    return torch.bmm(weights, split[2]).to(torch.bfloat16) / weights.sum(2, keepdim=True)


def attend_from_many(query: Tensor, key_value: Tensor, text: Tensor, heads: int, scale: float) -> Tensor:
    """Attention of one query per text, without padding; ``text`` is the (tokens,) text of each token.

    The others are those of :meth:`RealTokensLayout.attend_from_first`.
    """
    texts, attended = query.shape
    tokens = text.numel()
    key, value = key_value[:tokens, :attended], key_value[:tokens, attended:]
    scores = (query.index_select(0, text) * key).view(tokens, heads, -1).sum(2)
    if scale != 1.0:
        scores = scores.mul_(scale)
    greatest = torch.full([texts, heads], -float("inf"), dtype=scores.dtype)
    greatest = greatest.scatter_reduce_(0, text.unsqueeze(1).expand(tokens, heads), scores, "amax")
    weights = scores.sub_(greatest.index_select(0, text)).exp_()
    weighted = (value.view(tokens, heads, -1) * weights.unsqueeze(2)).view(tokens, attended)
    sums = torch.zeros([texts, attended], dtype=value.dtype).index_add_(0, text, weighted).view(texts, heads, -1)
    totals = torch.zeros([texts, heads], dtype=value.dtype).index_add_(0, text, weights)
    return (sums / totals.unsqueeze(2)).view(texts, attended)


def attend_from_one(query: Tensor, key_value: Tensor, tokens: int, heads: int, scale: float) -> Tensor:
    """The same for one text of so many tokens, with fewer operations."""
    split = key_value[:tokens].view(tokens, 2, heads, -1)
    scores = torch.bmm(query.view(heads, 1, -1), split[:, 0].permute(1, 2, 0))
    if scale != 1.0:
        scores = scores.mul_(scale)
    return torch.bmm(scores.softmax(2), split[:, 1].transpose(0, 1)).view(1, -1)
