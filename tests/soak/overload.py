"""Three times as many requests as can be answered, and what the server is like before, meanwhile and afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from marwright.bench import Load, Result, measure
from marwright.console.progress import say
from soak.finding import Finding
from soak.memory import Growth, watched
from soak.served import Served

PROMISE = (
    "At three times its capacity a server refuses with 503, answers the others within the time of a full queue, "
    "keeps its memory and is itself again afterwards"
)
TIMES = 3
CLIENTS = 32
CONNECTIONS = 1_000
"""More than the queue and the workers hold together: otherwise the requests would queue in the load generator."""
_CALM = 0.3
# Of the capacity that a closed loop has found: the generator and the refusals take their share of the same cores.
_LEAST_SHARE = 0.1
# A full queue is not all: Java, short of processor time, takes requests late from its sockets.
_MOST_TIMES_FULL_QUEUE = 8.0
_MOST_GROWTH = 0.15
_UNEXPECTED_SHARE = 0.001


def capacity(served: Served, texts: Sequence[str], *, seconds: float = 6, warm_up_s: float = 4) -> float:
    """Answers per second with 32 clients that wait for their answers."""
    load = Load(clients=CLIENTS, duration_s=seconds, warm_up_s=warm_up_s)
    return _measured(served, texts, load).achieved_rate


def overload(served: Served, texts: Sequence[str], *, seconds: float, queue: int, batch_size: int) -> Finding:
    """Measure the capacity, then offer a part of it, three times it, and the part again.

    Args:
        served: the server.
        texts: what is asked.
        seconds: of the overload; before and after it a third of that each.
        queue: its ``job_queue_size``.
        batch_size: the most requests that a worker has in hand.
    """
    found = capacity(served, texts)
    say(f"  {found:.0f} answers/s at most; {TIMES * found:.0f} requests/s for {seconds:.0f} s")
    calm = Load(rate=_CALM * found, clients=CONNECTIONS, duration_s=max(3, seconds / 3), warm_up_s=1)
    before = _measured(served, texts, calm)
    # What a first overload takes for its connections and its full queue is kept, not lost: it counts as warm.
    _measured(served, texts, Load(rate=TIMES * found, clients=CONNECTIONS, duration_s=max(2, seconds / 5), warm_up_s=0))
    with watched(served.processes(), max(0.25, seconds / 60)) as samples:
        during = _measured(
            served, texts, Load(rate=TIMES * found, clients=CONNECTIONS, duration_s=seconds, warm_up_s=1)
        )
    after = _measured(served, texts, calm)
    growth = {name: Growth.of(each.seconds, each.rss) for name, each in samples.items()}
    waiting = queue + batch_size * len(served.workers())
    full_queue_ms = 1000 * waiting / max(during.achieved_rate, 1)
    broken = judged(before, during, after, found, full_queue_ms)
    broken += [f"{name} has grown by {each.share:.0%}" for name, each in growth.items() if each.share > _MOST_GROWTH]
    refused = during.failed.get("HTTP 503", 0)
    figures = {
        "capacity_per_s": round(found),
        "offered_per_s": round(TIMES * found),
        "seconds": seconds,
        "queue": queue,
        "answered_per_s": round(during.achieved_rate),
        "answered_p50_ms": during.latency_ms["p50"],
        "answered_p99_ms": during.latency_ms["p99"],
        "refused": refused,
        "refused_p50_ms": during.refusal_ms["p50"],
        "refused_p99_ms": during.refusal_ms["p99"],
        "failed": during.failed,
        "full_queue_ms": round(full_queue_ms, 1),
        "calm_p99_ms": [before.latency_ms["p99"], after.latency_ms["p99"]],
        "calm_failed": [before.failed, after.failed],
        "rss_growth": {name: round(each.share, 4) for name, each in growth.items()},
        "doubts": list(during.doubts),
    }
    summary = (
        f"{found:.0f} answers/s at most; at {TIMES * found:.0f} requests/s for {seconds:.0f} s "
        f"{during.achieved_rate:.0f} answered a second, in {_ms(during.latency_ms['p50'])} (median) and "
        f"{_ms(during.latency_ms['p99'])} (p99); {refused / during.due:.0%} refused with 503, in "
        f"{_ms(during.refusal_ms['p50'])} and {_ms(during.refusal_ms['p99'])}; at {_CALM:.0%} of capacity p99 "
        f"{_ms(before.latency_ms['p99'])} before and {_ms(after.latency_ms['p99'])} afterwards, "
        f"{sum(after.failed.values())} failed; memory "
        + ", ".join(f"{name} {each.share:+.1%}" for name, each in growth.items())
    )
    return Finding("overload", PROMISE, summary, figures, tuple(broken))


def judged(before: Result, during: Result, after: Result, capacity: float, full_queue_ms: float) -> list[str]:
    """What breaks the promise."""
    broken = []
    refused = during.failed.get("HTTP 503", 0)
    others = {kind: count for kind, count in during.failed.items() if kind != "HTTP 503"}
    if sum(others.values()) > _UNEXPECTED_SHARE * during.due:
        broken.append(f"requests failed otherwise than with 503: {others}")
    if not refused:
        broken.append("nothing was refused: this was no overload")
    if during.achieved_rate < _LEAST_SHARE * capacity:
        broken.append(f"only {during.achieved_rate:.0f} a second were answered of {capacity:.0f} that can be")
    p50, p99 = during.latency_ms["p50"] or 0, during.latency_ms["p99"] or 0
    if p99 > _MOST_TIMES_FULL_QUEUE * full_queue_ms:
        broken.append(f"answers took {p99:.0f} ms (p99), and a full queue {full_queue_ms:.0f} ms")
    if refused and (during.refusal_ms["p50"] or 0) > p50:
        broken.append(f"a refusal took {during.refusal_ms['p50']:.0f} ms and an answer {p50:.0f} ms (medians)")
    if after.failed:
        broken.append(f"afterwards requests failed: {after.failed}")
    if (after.latency_ms["p50"] or 0) > 3 * (before.latency_ms["p50"] or 0) + 10:
        broken.append(f"afterwards an answer took {after.latency_ms['p50']} ms, before {before.latency_ms['p50']} ms")
    return broken


def _measured(served: Served, texts: Sequence[str], load: Load) -> Result:
    headers = [f"{name}: {value}" for name, value in served.headers().items()]
    return measure(served.url, texts, load, headers=headers)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms" if value >= 20 else f"{value:.1f} ms"
