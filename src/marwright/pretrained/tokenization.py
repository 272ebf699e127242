"""Texts to token ids and token ids to padded batches, the same way for training and for measuring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

_BATCH = 1024


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Ids of every text's tokens, special tokens included, cut as the tokenizer is set.

    Where nothing at all is left of a text one token stands for it, as in the worker.
    """
    return [encoding.ids or [0] for encoding in tokenizer.encode_batch(list(texts))]


def token_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """How many tokens each text has, special tokens included; a table of millions is never held as tokens."""
    parts = (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
    # Without offsets, which take most of the time.
    return [len(encoding.ids) for part in parts for encoding in tokenizer.encode_batch_fast(list(part))]


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id that stands for what the vocabulary does not have; none where every character has tokens."""
    token = getattr(tokenizer.model, "unk_token", None)
    if token is not None:
        return tokenizer.token_to_id(token)
    # Of a Unigram model only the file tells.
    found: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return found


def pad_id(tokenizer: Tokenizer) -> int:
    """The id that fills a batch's short rows. The attention mask hides it, so any id would do."""
    for token in ("[PAD]", "<pad>"):
        if (found := tokenizer.token_to_id(token)) is not None:
            return int(found)
    return 0


def padded(rows: Sequence[Sequence[int]], filler: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad a batch to its longest row.

    Returns:
        ids and attention mask, both int64 of shape (rows, longest).
    """
    import torch

    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, filler, dtype=np.int64)
    ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def batches_by_length(rows: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Indices of ``rows`` in batches of like length, so that little is spent on padding."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    return [order[start : start + size] for start in range(0, len(order), size)]
