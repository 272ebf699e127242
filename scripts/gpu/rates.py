"""The archive in a real TorchServe: one rate of requests, and the highest one that keeps a promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from marwright.bench import Load, Result, measure, serving_archive
from marwright.progress import say

STEPS = 5
# No single TorchServe frontend gives so many answers.
MOST = 20_000.0


def served(archive: Path, texts: Sequence[str], *, rate: float, sla_ms: float, seconds: float) -> dict[str, Any]:
    """Serve an archive, offer it a rate in an open loop, then search for the highest rate that keeps the promise.

    Args:
        archive: a ``.mar`` file.
        texts: what to send, one a request.
        rate: requests per second.
        sla_ms: milliseconds within which 99 % of the requests must be answered.
        seconds: that each rate is held.
    """
    with serving_archive(archive) as url:

        def offered(each: float) -> Result:
            result = measure(url, texts, Load(rate=each, duration_s=seconds, timeout_s=5))
            kept = "kept" if result.keeps(sla_ms) else "missed"
            say(f"  {each:,.0f} requests/s: p99 {_ms(result)}, {result.due - result.ok} failed: {kept}")
            return result

        first = offered(rate)
        highest = highest_rate(lambda each: offered(each).keeps(sla_ms), rate, first.keeps(sla_ms))
    return {"promise_ms": sla_ms, "first": first.as_json(sla_ms), "highest_rate": highest}


def highest_rate(keeps: Callable[[float], bool], rate: float, kept: bool) -> float:
    """The highest rate that keeps the promise, to a thirtieth; 0 if none does.

    Args:
        keeps: offers a rate and says whether it did.
        rate: one that was offered.
        kept: and what it did.
    """
    if kept:
        low, high = rate, 2 * rate
        while high <= MOST and keeps(high):
            low, high = high, 2 * high
    else:
        low, high = 0.0, rate
    for _ in range(STEPS):
        middle = (low + high) / 2
        if keeps(middle):
            low = middle
        else:
            high = middle
    return round(low, 1)


def _ms(result: Result) -> str:
    p99 = result.latency_ms["p99"]
    return "none" if p99 is None else f"{p99:.2f} ms"
