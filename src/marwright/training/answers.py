"""What a trained model answers: logits of whole splits, scores, and the picture of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from marwright.console.progress import track
from marwright.pretrained.tokenization import batches_by_length
from marwright.training.dataset import Collator, TokenizedSplit
from marwright.training.fitting import EVALUATION_BATCH
from marwright.training.precision import autocast


def logits_of(
    model: Any, split: TokenizedSplit, collator: Collator, what: str, *, dtype: torch.dtype = torch.float32
) -> npt.NDArray[np.float32]:
    """Logits of every row, in the split's order, shape (rows, labels).

    Args:
        model: a transformers classifier; it is put into evaluation mode.
        split: the rows.
        collator: makes batches.
        what: shown beside the progress bar.
        dtype: in which matrices are multiplied.
    """
    model.eval()
    device = model.device
    found: npt.NDArray[np.float32] | None = None
    batches = batches_by_length(split.rows, EVALUATION_BATCH)
    with torch.inference_mode(), autocast(device, dtype):
        for indices in track(batches, what, total=len(batches)):
            batch = collator([split[index] for index in indices])
            output = model(input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device))
            logits = output.logits.float().cpu().numpy()
            if found is None:
                found = np.zeros((len(split), logits.shape[1]), dtype=np.float32)
            found[indices] = logits
    assert found is not None
    return found


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
