"""The archive in a real TorchServe: one rate of requests, and the highest one that keeps a promise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from marwright.bench import Load, Result, measure, serving_archive
from marwright.console.progress import say

STEPS = 5
# No single TorchServe frontend gives so many answers.
MOST = 20_000.0


def served(
    archive: Path,
    texts: Sequence[str],
    *,
    rate: float,
    sla_ms: float,
    seconds: float,
    within_s: float,
    meanwhile: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Serve an archive, offer it a rate in an open loop, then search for the highest rate that keeps the promise.

    Args:
        archive: a ``.mar`` file.
        texts: what to send, one a request.
        rate: requests per second.
        sla_ms: milliseconds within which 99 % of the requests must be answered.
        seconds: that each rate is held.
        within_s: seconds after which no more rates are tried.
        meanwhile: what else there is to see while it serves.
    """
    ends = time.monotonic() + within_s - 2 * seconds
    with serving_archive(archive) as url:

        def offered(each: float) -> Result:
            result = measure(url, texts, Load(rate=each, duration_s=seconds, timeout_s=5))
            kept = "kept" if result.keeps(sla_ms) else "missed"
            say(f"  {each:,.0f} requests/s: p99 {_ms(result)}, {result.due - result.ok} failed: {kept}")
            return result

        first = offered(rate)
        seen = meanwhile()
        least, most = rate_between(
            lambda each: offered(each).keeps(sla_ms), rate, first.keeps(sla_ms), lambda: time.monotonic() < ends
        )
    return {"promise_ms": sla_ms, "first": first.as_json(sla_ms), "highest_rate": least, "missed_at": most} | seen


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
