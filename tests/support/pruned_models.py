"""What the tests of pruning keep of a tiny classifier, and what it then answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from marwright.encoder.kept_parts import KeptParts

# Four heads of four channels and 40 neurons in each of three layers: no two layers keep the same.
KEPT = KeptParts(heads=((1, 3), (0, 1, 2, 3), (2,)), neurons=(tuple(range(0, 40, 2)), (5, 6, 39), tuple(range(40))))


def classifier(folder: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()


def logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = model(input_ids=ids, attention_mask=mask).logits
    return found
