"""Measures the latency of an exported module alone, on one thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from marwright.encoder.logits import Module
from marwright.metrics.latency import Latencies
from marwright.pretrained.tokenization import padded
from marwright.processes.threads import one_thread


def latency_ms(
    module: Module, rows: Sequence[Sequence[int]], filler: int, batch: int, runs: int = 60
) -> dict[str, Any]:
    """Milliseconds of one call on one thread, over batches of so many rows; ten calls before the runs are not timed.

    Batches are cut from the rows, token ids of real texts, in order, and from the start again when they end.
    """
    batches = [
        padded([rows[(start * batch + offset) % len(rows)] for offset in range(batch)], filler)
        for start in range(runs + 10)
    ]
    times = Latencies(warm_up=10)
    with one_thread(), torch.inference_mode():
        for ids, mask in batches:
            with times.call():
                module(ids, mask)
    return {"texts": batch, "p50_ms": round(times.percentile(50), 2), "p99_ms": round(times.percentile(99), 2)}
