"""Medians and spreads over rounds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Sum up the values of the rounds; at least one."""
        ordered = sorted(values)
        return cls(median(ordered), ordered[0], ordered[-1])

    @property
    def spread(self) -> float:
        """Half of the distance between the least and the most, as a share of the median."""
        return (self.most - self.least) / 2 / self.median if self.median else 0.0


@dataclass(frozen=True)
class Measured:
    """One load in one round: answers per second, milliseconds, requests that failed, and what makes it doubtful."""

    clients: int
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    doubts: tuple[str, ...] = ()

    @property
    def latencies(self) -> str:
        """Latencies and failures in words."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms{failed}"


@dataclass(frozen=True)
class Visit:
    """One server in one round, from its start to its end."""

    peer: str
    round: int
    start_s: float
    memory_mb: dict[str, float]
    loads: tuple[Measured, ...]


@dataclass(frozen=True)
class Summary:
    """One server over all rounds, by number of clients where it depends on them."""

    peer: str
    rounds: int
    start_s: Figure
    rss_mb: Figure
    pss_mb: Figure
    rate: dict[int, Figure] = field(default_factory=dict)
    p50_ms: dict[int, Figure] = field(default_factory=dict)
    p99_ms: dict[int, Figure] = field(default_factory=dict)
    failed: int = 0
    doubts: tuple[str, ...] = ()


def summarized(visits: Sequence[Visit]) -> Summary:
    loads = [load for visit in visits for load in visit.loads]
    by_clients: dict[int, list[Measured]] = {}
    for load in loads:
        by_clients.setdefault(load.clients, []).append(load)

    def over_rounds(name: str) -> dict[int, Figure]:
        return {clients: Figure.of(getattr(load, name) for load in found) for clients, found in by_clients.items()}

    return Summary(
        peer=visits[0].peer,
        rounds=len(visits),
        start_s=Figure.of(visit.start_s for visit in visits),
        rss_mb=Figure.of(visit.memory_mb["rss"] for visit in visits),
        pss_mb=Figure.of(visit.memory_mb["pss"] for visit in visits),
        rate=over_rounds("rate"),
        p50_ms=over_rounds("p50_ms"),
        p99_ms=over_rounds("p99_ms"),
        failed=sum(load.failed for load in loads),
        doubts=tuple(dict.fromkeys(doubt for load in loads for doubt in load.doubts)),
    )


def order_of_round(names: Sequence[str], number: int) -> list[str]:
    """The order in round ``number``, from 0, which begins with another server than the one before.

    So none always follows the same one on a warm machine.
    """
    start = number * (len(names) // 3 + 1) % len(names) if names else 0
    turned = [*names[start:], *names[:start]]
    return turned[::-1] if number % 2 else turned


def as_json(value: Any) -> Any:
    """Turn figures, summaries and visits into what JSON can hold, with numbers rounded."""
    return json.loads(json.dumps(value, default=asdict), parse_float=lambda digits: round(float(digits), 4))
