"""How the texts of a batch are laid out without padding; all of it compiles to TorchScript."""

from __future__ import annotations

from typing import List, NamedTuple, Tuple  # noqa: UP035 (TorchScript reads these)

import torch
from torch import Tensor


class Packed(NamedTuple):
    """The real tokens of a batch one after another, texts sorted by length, short texts first."""

    tokens: Tensor
    """(tokens,) ids."""
    positions: Tensor
    """(tokens,) of each token in its text, from 0."""
    lengths: Tensor
    """(texts,) ascending."""
    order: Tensor
    """(texts,) where each text stood in the batch."""


class Rows(NamedTuple):
    """Texts side by side in rows of one width, so that one product computes the attention of a whole row.

    ``gather``, ``places`` and ``mask`` are empty if all texts have one length: then each is a row and nothing moves.
    """

    number: int
    width: int
    gather: Tensor
    """(count * width,) the token at each place; free places show the first one."""
    places: Tensor
    """(tokens + idle,) the place of each token; idle tokens show the first one."""
    mask: Tensor
    """(count, 1, width, width) 0 within a text, minus infinity between texts; free places see each other."""


def pack(ids: Tensor, attention_mask: Tensor) -> Packed:
    """Pack a padded batch of (batch, length) int64 ids and mask.

    The mask is 1 for real tokens; every text has at least one, at its start.
    """
    if ids.size(0) == 1:
        lengths = attention_mask.sum(1)
        length = int(lengths)
        order = torch.zeros([1], dtype=torch.int64, device=ids.device)
        return Packed(ids[0, :length], torch.arange(length, device=ids.device), lengths, order)
    lengths, order = torch.sort(attention_mask.sum(1))
    real = attention_mask.index_select(0, order).to(torch.bool)
    tokens = torch.masked_select(ids.index_select(0, order), real)
    positions = torch.masked_select(torch.arange(ids.size(1), device=ids.device).expand_as(real), real)
    return Packed(tokens, positions, lengths, order)


def within_budget(lengths: List[int], token_budget: int) -> List[Tuple[int, int]]:  # noqa: UP006
    """Cut texts into runs of at most ``token_budget`` tokens; a longer text is a run of its own.

    Return the first text of each run and the one after its last.
    """
    runs: List[Tuple[int, int]] = []  # noqa: UP006
    start = 0
    tokens = 0
    for text, length in enumerate(lengths):
        if text > start and tokens + length > token_budget:
            runs.append((start, text))
            start = text
            tokens = 0
        tokens += length
    runs.append((start, len(lengths)))
    return runs


def idle_tokens(tokens: int) -> int:
    """How many tokens to add so that few different numbers of them occur.

    oneDNN makes, and keeps, a kernel of half a megabyte for every number of rows that it meets.
    """
    step = 8 if tokens < 256 else 16
    return (step - tokens % step) % step


def arrange(lengths: List[int], idle: int = 0) -> Rows:  # noqa: UP006
    """Lay texts out in rows: the longest left in each row first, then the shortest ones as long as they fit.

    Lengths ascend. Idle tokens come after the last one, and belong to no text.
    """
    longest = lengths[-1]
    nothing = torch.zeros([0], dtype=torch.int64)
    if lengths[0] == longest:
        return Rows(len(lengths), longest, nothing, nothing, torch.zeros([0]))
    # Attention is fastest where a row is a multiple of the 16 floats that a vector register holds.
    width = max(32, (longest + 15) // 16 * 16)
    first_place = [0] * len(lengths)
    low = 0
    high = len(lengths) - 1
    count = 0
    while low <= high:
        first_place[high] = count * width
        used = lengths[high]
        high -= 1
        while low <= high and used + lengths[low] <= width:
            first_place[low] = count * width + used
            used += lengths[low]
            low += 1
        count += 1
    text = text_of_token(torch.tensor(lengths))
    starts = torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)
    tokens = torch.arange(text.numel())
    places = tokens + (torch.tensor(first_place) - starts).index_select(0, text)
    gather = torch.zeros([count * width], dtype=torch.int64).index_copy_(0, places, tokens)
    texts = torch.full([count * width], -1).index_copy_(0, places, text).view(count, 1, width)
    apart = texts.unsqueeze(3) != texts.unsqueeze(2)
    mask = torch.zeros([count, 1, width, width]).masked_fill_(apart, -float("inf"))
    if idle > 0:
        places = torch.cat([places, torch.zeros([idle], dtype=torch.int64)])
    return Rows(count, width, gather, places, mask)


def text_of_token(lengths: Tensor) -> Tensor:
    """(tokens,) the number of each token's text, for (texts,) lengths."""
    return torch.repeat_interleave(torch.arange(lengths.numel(), device=lengths.device), lengths)
