"""The archive in a real TorchServe: one rate of requests, and the highest one that keeps a promise."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from gpu.subject import Subject
from marwright.bench import Load, Result, measure, serving_archive
from marwright.console.progress import say

STEPS = 5
# No single TorchServe frontend gives so many answers.
MOST = 20_000.0


def served(subject: Subject) -> dict[str, Any]:
    """Offer it the wanted rate in an open loop, then search for the highest one that keeps the promise."""
    sla_ms, seconds = subject.given.sla_ms, subject.given.seconds
    ends = time.monotonic() + subject.seconds - 2 * seconds
    free = _free_bytes(subject)
    with serving_archive(subject.given.archive) as url:

        def offered(rate: float) -> Result:
            result = measure(url, subject.texts, Load(rate=rate, duration_s=seconds, timeout_s=5))
            kept = "kept" if result.keeps(sla_ms) else "missed"
            say(f"  {rate:,.0f} requests/s: p99 {_ms(result)}, {result.due - result.ok} failed: {kept}")
            return result

        first = offered(subject.given.rate)
        taken = round((free - _free_bytes(subject)) / (1 << 20))
        least, most = rate_between(
            lambda rate: offered(rate).keeps(sla_ms),
            subject.given.rate,
            first.keeps(sla_ms),
            lambda: time.monotonic() < ends,
        )
    found = {"promise_ms": sla_ms, "first": first.as_json(sla_ms), "highest_rate": least, "missed_at": most}
    # What the workers have of the GPU; nothing if TorchServe has given them the CPU.
    return found | ({"gpu_megabytes_taken": taken} if subject.on_a_gpu else {})


def _free_bytes(subject: Subject) -> int:
    return torch.cuda.mem_get_info(subject.device)[0] if subject.on_a_gpu else 0


def rate_between(
    keeps: Callable[[float], bool], rate: float, kept: bool, there_is_time: Callable[[], bool]
) -> tuple[float, float | None]:
    """The highest rate that kept the promise, and the lowest above it that did not: a thirtieth apart if there is time.

    Args:
        keeps: offers a rate and says whether it did.
        rate: one that was offered.
        kept: and what it did.
        there_is_time: for one more.

    Returns:
        0 if none kept it; none if none missed it.
    """
    low, high, missed = (rate, 2 * rate, False) if kept else (0.0, rate, True)
    while not missed and high <= MOST and there_is_time():
        missed = not keeps(high)
        low, high = (low, high) if missed else (high, 2 * high)
    for _ in range(STEPS):
        if not missed or not there_is_time():
            break
        middle = (low + high) / 2
        if keeps(middle):
            low = middle
        else:
            high = middle
    return round(low, 1), round(high, 1) if missed else None


def _ms(result: Result) -> str:
    p99 = result.latency_ms["p99"]
    return "none" if p99 is None else f"{p99:.2f} ms"
