"""The figures of a measurement, and whether they can be believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from marwright.bench.generator import Record
from marwright.bench.schedule import Load
from marwright.metrics.latency import percentile

PERCENTILES = (50, 90, 95, 99, 99.9)
SLA_SHARE = 0.99

# A generator that is late by more than this, for more than 1 % of the requests, measures itself.
_LATE_MS = 1.0
_LATE_SHARE = 0.1
_BUSY_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a server made of a load.

    Rates are per second, times in milliseconds unless they end in ``_s``. ``due`` requests were counted, of which
    ``ok`` got a good answer within the timeout; ``failed`` says why the others did not: ``timeout``, ``connection`` or
    ``HTTP 503``. ``achieved_rate`` counts the good answers that came within the counted seconds. ``latency_ms`` holds
    p50, p90, p95, p99, p99.9, max and mean of the good answers and of the timeouts, which count with the time they
    were given; ``None`` if there are neither. ``refusal_ms`` holds the same of answers with another
    status than 2xx, which a server that has too much to do should give at once. ``doubts`` says why the figures cannot
    be trusted; empty if they can.
    """

    url: str
    open_loop: bool
    offered_rate: float
    achieved_rate: float
    instances: int
    texts_per_second: float
    duration_s: float
    warm_up_s: float
    timeout_s: float
    connections: int
    due: int
    ok: int
    failed: dict[str, int]
    latency_ms: dict[str, float | None]
    refusal_ms: dict[str, float | None]
    generator_cpu_ms: float
    generator_cpu_share: float
    generator_lateness_ms: dict[str, float]
    doubts: tuple[str, ...]
    latencies_ms: npt.NDArray[np.float64] = field(repr=False, compare=False)

    @property
    def load(self) -> str:
        """What was asked of the server, in a few words."""
        texts = "" if self.instances == 1 else f" of {self.instances} texts"
        if self.open_loop:
            return f"{self.offered_rate:g} requests/s{texts}"
        return f"{self.connections} clients, {self.achieved_rate:.0f} requests/s{texts}"

    def share_within(self, sla_ms: float) -> float:
        """The share of all counted requests that got a good answer within ``sla_ms`` milliseconds."""
        # A timeout stands among the latencies, but it is no answer.
        timeouts = self.failed.get("timeout", 0) if sla_ms >= 1000 * self.timeout_s else 0
        return (int((self.latencies_ms <= sla_ms).sum()) - timeouts) / self.due

    def keeps(self, sla_ms: float) -> bool:
        """Whether 99 % of all counted requests got a good answer within ``sla_ms`` milliseconds.

        Without failures that is p99 ≤ ``sla_ms``; a request that failed is one that took too long.
        """
        return self.share_within(sla_ms) >= SLA_SHARE

    def as_json(self, sla_ms: float | None = None) -> dict[str, Any]:
        """The result for scripts: numbers rounded, without the single latencies, with the verdict if one is wanted."""
        written = {name: value for name, value in vars(self).items() if name != "latencies_ms"}
        written["trustworthy"] = not self.doubts
        if sla_ms is not None:
            share = round(self.share_within(sla_ms), 6)
            written["sla"] = {"ms": sla_ms, "kept": self.keeps(sla_ms), "share_within": share}
        return {name: _rounded(value) for name, value in written.items()}


def summarized(record: Record, load: Load, *, url: str, instances: int) -> Result:
    """Turn what the generator noted into figures."""
    latencies = np.asarray(record.latencies) * 1000
    late = np.asarray(record.lateness) * 1000
    lateness = {"p99": percentile(late, 99), "max": float(late.max())}
    achieved = record.answered_in_time / load.duration_s
    latency = _spread(latencies)
    return Result(
        url=url,
        open_loop=load.rate is not None,
        offered_rate=load.rate or record.due / load.duration_s,
        achieved_rate=achieved,
        instances=instances,
        texts_per_second=achieved * instances,
        duration_s=load.duration_s,
        warm_up_s=load.warm_up_s,
        timeout_s=load.timeout_s,
        connections=record.connections,
        due=record.due,
        ok=record.ok,
        failed=dict(sorted(record.failures.items())),
        latency_ms=latency,
        refusal_ms=_spread(np.asarray(record.refusals) * 1000),
        generator_cpu_ms=1000 * record.cpu_s / max(record.sent, 1),
        generator_cpu_share=record.cpu_s / record.wall_s,
        generator_lateness_ms=lateness,
        doubts=tuple(_doubts(lateness, latency["p99"], record)),
        latencies_ms=latencies,
    )


def _spread(milliseconds: npt.NDArray[np.float64]) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys([*(f"p{percent:g}" for percent in PERCENTILES), "max", "mean"])
    if milliseconds.size:
        found = {f"p{percent:g}": percentile(milliseconds, percent) for percent in PERCENTILES}
        found |= {"max": float(milliseconds.max()), "mean": float(milliseconds.mean())}
    return found


def _doubts(lateness: dict[str, float], p99: float | None, record: Record) -> list[str]:
    doubts = []
    if lateness["p99"] > max(_LATE_MS, _LATE_SHARE * (p99 or 0)):
        doubts.append(
            f"the generator, or the machine under it, could not keep up: 1 % of the requests were sent "
            f"{lateness['p99']:.1f} ms or more after they were due, at worst {lateness['max']:.1f} ms"
        )
    if record.cpu_s > _BUSY_SHARE * record.wall_s:
        doubts.append(f"the generator itself took {record.cpu_s / record.wall_s:.0%} of a core")
    return doubts


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return value
