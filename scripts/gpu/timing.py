"""Times answers: several ways to the same answers in turn, so that they meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from marwright.console.progress import track
from marwright.metrics.latency import Latencies

Answer = Callable[[Sequence[str]], list[bytes]]
"""Texts to JSON, one for each."""

MOST_WARM_UP_CALLS = 100
"""Enough for each batch once, since a new shape costs the first call with it more."""

FEWEST_CALLS = 3
DEVICE_WARM_UP_CALLS = 20
DEVICE_CALLS = 100


def timed(
    ways: Mapping[str, Answer], batches: Sequence[Sequence[str]], calls: int, what: str, within_s: float
) -> dict[str, dict[str, float]]:
    """Milliseconds of a call from texts to JSON: median, p99, and texts a second over all calls.

    Args:
        ways: by name.
        batches: batches of texts, taken in order and from the start again.
        calls: of each way, after some that are not counted.
        what: shown beside the progress bar.
        within_s: seconds after which there are no more calls; a few are made in any case.
    """
    warm_up = min(MOST_WARM_UP_CALLS, len(batches), calls)
    warming, times = Latencies(), {name: Latencies() for name in ways}
    began = time.monotonic()
    for number in track(range(warm_up + calls), what, total=warm_up + calls):
        passed = time.monotonic() - began
        if passed > within_s and min(len(found.ms) for found in times.values()) >= FEWEST_CALLS:
            break
        counted = number >= warm_up or passed > within_s / 2
        batch = batches[number % len(batches)]
        for name, answer in ways.items():
            with (times[name] if counted else warming).call():
                answer(batch)
    return {name: _figures(found, len(batches[0])) for name, found in times.items()}


def _figures(found: Latencies, texts: int) -> dict[str, float]:
    return {
        "calls": len(found.ms),
        "p50_ms": round(found.percentile(50), 3),
        "p99_ms": round(found.percentile(99), 3),
        "texts_per_second": round(1000 * texts * len(found.ms) / sum(found.ms), 1),
    }


def device_ms(runtime: Any, ids: Tensor, mask: Tensor) -> float:
    """Milliseconds that a GPU itself is busy with a batch, copy in included, back to back."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with torch.inference_mode():
        for _ in range(DEVICE_WARM_UP_CALLS):
            runtime.logits(ids, mask)
        start.record()
        for _ in range(DEVICE_CALLS):
            runtime.logits(ids, mask)
        end.record()
    end.synchronize()
    return round(start.elapsed_time(end) / DEVICE_CALLS, 4)
