"""How often two modules give a text the same label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marwright.console.progress import track

BATCH = 32

Logits = npt.NDArray[np.float32]


def logits_of(module: Callable[[Tensor, Tensor], Tensor], encoder: Any, texts: Sequence[str], what: str) -> Logits:
    """Logits of every text, (texts, labels), in batches as they come.

    Args:
        module: takes ids and mask on the CPU, (texts, longest) int64 each; its answer is read before the next call.
        encoder: the archive's tokenizer, as its handler has it.
        texts: any number.
        what: shown beside the progress bar.
    """
    found = []
    starts = range(0, len(texts), BATCH)
    with torch.inference_mode():
        for start in track(starts, what, total=len(starts)):
            found.append(module(*encoder.encode(list(texts[start : start + BATCH]))).float().cpu().numpy())
    return np.concatenate(found)


def agreement(one: Logits, other: Logits) -> dict[str, float]:
    """The share of texts with the same best label, and the largest difference of a logit."""
    return {
        "same_label": round(float((one.argmax(1) == other.argmax(1)).mean()), 5),
        "largest_difference": round(float(np.abs(one - other).max()), 4),
    }
