"""Compares what a recorded graph answers with what the module answers when it is run plainly."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from batch_buckets import Bucket

# The same kernels on the same shapes mostly give the same bits. Where a library picks another kernel while a graph is
# recorded, sums are rounded in another order: each rounding to 16 bits moves a value by half a step, and the norm after
# each block keeps such moves from growing. Eight steps leave room for that; a stale or overwritten batch is off by as
# much as the logits themselves differ from text to text.
STEPS = 8
STEP = {"fp16": torch.finfo(torch.float16).eps, "bf16": torch.finfo(torch.bfloat16).eps}


def disagreement(replayed: torch.Tensor, plain: torch.Tensor, precision: str) -> str | None:
    """What is wrong with a graph's logits, (texts, labels), in a few words; nothing if they are the module's.

    The precision in which both compute is fp16 or bf16.
    """
    replayed, plain = replayed.float(), plain.float()
    allowed = STEPS * STEP[precision] * max(1.0, plain.abs().max().item())
    off = (replayed - plain).abs().max().item()
    # Written so that what is no number is refused.
    if not off <= allowed:
        return f"its logits are {off:.3g} off, and {allowed:.3g} is allowed"
    # Of labels that the module itself holds for as good as equal, either is right.
    chosen = plain.gather(1, replayed.argmax(dim=1, keepdim=True)).squeeze(1)
    if not bool((plain.max(dim=1).values - chosen <= allowed).all()):
        return "it answers another label"
    return None


def golden_batch(rows: Sequence[Sequence[int]], bucket: Bucket) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts of the archive as ids and mask, as many and as long as fit into a bucket.

    Both are int64, (texts of the bucket, longest), on the CPU.
    """
    texts, length = bucket
    cut = [rows[at % len(rows)][:length] for at in range(texts)]
    longest = max(map(len, cut))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in cut], dtype=torch.int64)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in cut], dtype=torch.int64)
    return ids, mask


def chance_batch(rows: Sequence[Sequence[int]], bucket: Bucket, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A whole bucket of tokens drawn from the archive's texts: one row of full length, others of any length."""
    texts, length = bucket
    drawn = torch.Generator().manual_seed(seed)
    known = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
    ids = known[torch.randint(len(known), (texts, length), generator=drawn)]
    lengths = torch.randint(1, length + 1, (texts, 1), generator=drawn)
    lengths[0] = length
    mask = (torch.arange(length) < lengths).to(torch.int64)
    return ids * mask, mask
