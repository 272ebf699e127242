"""How long the GPU itself is busy with a batch, and what a T4 would make of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gpu.archived import Archived
from gpu.cards import FORMULA, T4, card_named, t4_estimate
from gpu.operations import operations
from gpu.subject import Batches, Subject
from gpu.timing import device_ms
from marwright.modules.packed_bert import PackedBert
from marwright.modules.pretrained import load_module

DEVICE_BATCHES = 10
BYTES_PER_WEIGHT = 2


def on_the_device(subject: Subject, archived: Archived, batches: Batches, total_ms: float) -> dict[str, Any]:
    """The time that the device was busy, and what a T4 would make of it."""
    runtime = archived.handler.runtime
    encoded = [archived.handler.encoder.encode(list(batch)) for batch in batches[:DEVICE_BATCHES]]
    shapes = [_computed_shape(runtime, ids.size(0), ids.size(1)) for ids, _ in encoded]
    found: dict[str, Any] = {
        "device_ms": float(np.median([device_ms(runtime, ids, mask) for ids, mask in encoded])),
        "without_graph": sum(shape is None for shape in shapes),
    }
    card = card_named(torch.cuda.get_device_name(subject.device))
    module = None if subject.student is None else load_module(subject.student.checkpoint, "script")
    if card is None or not isinstance(module, PackedBert) or found["without_graph"]:
        return found
    work = [operations(module.shape, texts, length) for texts, length in filter(None, shapes)]
    weights = operations(module.shape, 1, 1) / 2
    least, most = t4_estimate(
        card,
        total_ms=total_ms,
        device_ms=found["device_ms"],
        operations=float(np.median(work)),
        bytes_read=BYTES_PER_WEIGHT * weights,
    )
    sources = f"{card.source}; {T4.source}"
    return found | {"t4_ms": {"least": least, "most": most, "formula": FORMULA, "sources": sources}}


def _computed_shape(runtime: Any, texts: int, length: int) -> tuple[int, int] | None:
    """The bucket that is computed for a batch, with what only fills it up."""
    buckets = getattr(runtime, "buckets", None)
    shape: tuple[int, int] | None = None if buckets is None else buckets.fitting(texts, length)
    return shape
