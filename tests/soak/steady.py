"""An even load, for long: does anything grow?"""

from __future__ import annotations

from collections.abc import Sequence

from marwright.bench import Load, measure
from marwright.bench.generator import Observer, Record
from marwright.console.progress import say
from soak.finding import Finding
from soak.memory import Growth, Samples, watched
from soak.overload import CLIENTS, capacity
from soak.served import Served

PROMISE = "At 70 % of capacity neither a worker nor the frontend grows"
SHARE = 0.7
_SAMPLES = 120
_WARM_UP_CLIENTS = (64, 8, 32, 4, 16, 64)


def steady(served: Served, texts: Sequence[str], *, seconds: float, warm_up_s: float, most_growth: float) -> Finding:
    """Measure the capacity, warm up at 70 % of it, then watch the memory at that rate.

    Args:
        served: the server.
        texts: what is asked.
        seconds: how long the memory is watched.
        warm_up_s: before that, one half with other numbers of clients, the other at the same rate: workers make
            a kernel for each number of tokens that they have not met before, and Java compiles.
        most_growth: by which share a process may grow, such as 0.02.
    """
    found = capacity(served, texts, seconds=min(6, seconds / 4), warm_up_s=min(4, warm_up_s / 3))
    rate = SHARE * found
    headers = [f"{name}: {value}" for name, value in served.headers().items()]
    say(f"  {found:.0f} answers/s at most; {rate:.0f} requests/s for {warm_up_s + seconds:.0f} s")
    for load in _warm_up(rate, warm_up_s):
        measure(served.url, texts, load, headers=headers)
    say(f"  warm after {warm_up_s:.0f} s")
    before = set(served.workers())
    with watched(served.processes(), max(0.25, seconds / _SAMPLES)) as samples:
        result = measure(served.url, texts, _load(rate, seconds), headers=headers, observer=_every_minute())
    resident = {name: Growth.of(each.seconds, each.rss) for name, each in samples.items()}
    private = {name: Growth.of(each.seconds, each.uss) for name, each in samples.items()}
    broken = grown(resident, most_growth) + more_files(samples)
    if set(served.workers()) != before:
        broken.append("a worker died")
    if not result.ok:
        broken.append(f"nothing was answered: {result.failed}")
    unexpected = {kind: count for kind, count in result.failed.items() if kind != "HTTP 503"}
    if unexpected:
        broken.append(f"requests failed: {unexpected}")
    figures = {
        "capacity_per_s": round(found),
        "offered_per_s": round(rate),
        "seconds": seconds,
        "warm_up_s": warm_up_s,
        "answered": result.ok,
        "failed": result.failed,
        "p50_ms": result.latency_ms["p50"],
        "p99_ms": result.latency_ms["p99"],
        "rss_mb": {name: [round(each.start, 1), round(each.end, 1)] for name, each in resident.items()},
        "rss_growth": {name: round(each.share, 4) for name, each in resident.items()},
        "rss_mb_per_hour": {name: round(each.per_hour, 1) for name, each in resident.items()},
        "uss_growth": {name: round(each.share, 4) for name, each in private.items()},
        "doubts": list(result.doubts),
    }
    listed = "; ".join(
        f"{name} {each.start:.0f} → {each.end:.0f} MB ({each.share:+.1%}, {each.per_hour:+.1f} MB an hour)"
        for name, each in resident.items()
    )
    summary = (
        f"{seconds:.0f} s at {rate:.0f} requests/s, {result.ok:,} of {result.due:,} answered, p99 "
        f"{result.latency_ms['p99'] or 0:.0f} ms; resident memory after {warm_up_s:.0f} s of warm-up: {listed}"
    )
    return Finding("steady", f"{PROMISE} by more than {most_growth:.0%}", summary, figures, tuple(broken))


def grown(resident: dict[str, Growth], most: float) -> list[str]:
    """Which processes have grown by more than a share."""
    return [
        f"{name} has grown by {each.share:.1%}, from {each.start:.0f} to {each.end:.0f} MB"
        for name, each in resident.items()
        if each.share > most
    ]


def more_files(samples: dict[str, Samples]) -> list[str]:
    """Which processes hold ever more files: in the second half never fewer than the most of the first."""
    found = []
    for name, each in samples.items():
        middle = len(each.files) // 2
        # Connections of the load come and go; a leak is what the second half never falls back from.
        if (least := min(each.files[middle:])) > (most := max(each.files[:middle], default=least)):
            found.append(f"{name} holds {least:.0f} files and more after {most:.0f} at most")
    return found


def _every_minute() -> Observer:
    """Say once a minute how far it is."""
    told = 0

    def observe(seconds: float, record: Record) -> None:
        nonlocal told
        if seconds // 60 > told:
            told = int(seconds // 60)
            say(f"  {told} min, {record.ok:,} answered, {record.failures.total():,} failed")

    return observe


def _warm_up(rate: float, seconds: float) -> list[Load]:
    """Batches of every size, which an even rate alone would bring only by and by; then that rate."""
    each = seconds / 2 / len(_WARM_UP_CLIENTS)
    varied = [Load(clients=clients, duration_s=each, warm_up_s=0) for clients in _WARM_UP_CLIENTS]
    return [*varied, _load(rate, seconds / 2)]


def _load(rate: float, seconds: float) -> Load:
    # As many connections as found the capacity: of more, each pause of the machine would add some that stay open.
    return Load(rate=rate, clients=CLIENTS, duration_s=seconds, warm_up_s=0)
