"""What a module answers to many texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marwright.console.progress import track
from marwright.pretrained.tokenization import batches_by_length, padded

Module = Callable[[Tensor, Tensor], Tensor]
"""Token ids and mask, both (texts, tokens), to logits, (texts, labels)."""
BATCH = 16


def logits_of(
    module: Module, rows: Sequence[Sequence[int]], filler: int, what: str | None = None, batch: int = BATCH
) -> npt.NDArray[np.float32]:
    """Logits of every row, in order, shape (rows, labels).

    Args:
        module: eager or exported.
        rows: token ids of texts.
        filler: the padding id.
        what: shown beside the progress bar; there is none without it.
        batch: texts that are computed at once.
    """
    batches = batches_by_length(rows, batch)
    with torch.inference_mode():
        found = [
            module(*padded([rows[index] for index in indices], filler)).float().numpy()
            for indices in (batches if what is None else track(batches, what, total=len(batches)))
        ]
    # From the order of lengths back to the order of the rows.
    return np.concatenate(found)[np.argsort(np.concatenate(batches))]
