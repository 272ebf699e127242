"""What a trained model answers: logits of whole splits, scores, and the picture of its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marwright.encoder import logits
from marwright.training.dataset import TokenizedSplit
from marwright.training.precision import autocast

EVALUATION_BATCH = 64


def logits_of(
    model: Any,
    split: TokenizedSplit,
    filler: int,
    what: str,
    *,
    dtype: torch.dtype = torch.float32,
    read: Callable[[Any], Tensor] = attrgetter("logits"),
) -> npt.NDArray[np.float32]:
    """Logits of every row, in the split's order, shape (rows, labels).

    Args:
        model: a transformers classifier; it is put into evaluation mode.
        split: the rows.
        filler: the padding id.
        what: shown beside the progress bar.
        dtype: in which matrices are multiplied.
        read: takes something else of the model's output, one row per text.
    """
    model.eval()
    device = model.device

    def answered(ids: Tensor, mask: Tensor) -> Tensor:
        output = model(input_ids=ids.to(device), attention_mask=mask.to(device))
        return read(output).float().cpu().reshape(len(ids), -1)

    with autocast(device, dtype):
        return logits.logits_of(answered, split.rows, filler, what, EVALUATION_BATCH)


def draw_curves(history: Sequence[dict[str, float]], figures: Mapping[str, str], title: str, file: Path) -> None:
    """Draw losses and validation scores by epoch into a PNG; ``figures`` are the scores and what they are called."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    epochs = [entry["epoch"] for entry in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(epochs, [entry["train_loss"] for entry in history], marker="o", label="train")
    left.plot(epochs, [entry["validation_loss"] for entry in history], marker="o", label="validation")
    left.set(title="loss", xlabel="epoch", ylim=(0, None))
    for score, name in figures.items():
        right.plot(epochs, [100 * entry[score] for entry in history], marker="o", label=name)
    right.set(title="validation, %", xlabel="epoch")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(file, dpi=120, metadata={"Software": None})
    plt.close(figure)
