"""Judges a new version by what was seen of it beside the old one: a sentence for each thing that speaks against it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marwright.errors import MarwrightError
from marwright.metrics.latency import percentile
from marwright.release.predictions import Answer
from marwright.release.server_metrics import Counted
from marwright.tasks import Task

# Of fewer answers the slowest twentieth would be one or two.
FEWEST = 50
# A difference below this is the machine's, not the version's: a few milliseconds are one slice of a busy core's time.
NEGLIGIBLE_MS = 5.0
_JUDGED = ("p50", "p95")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a new version may do worse.

    ``max_error_rate`` is the share of requests without a good answer. ``max_slowdown`` is how many times the old
    version's median, 95th percentile and mean it may take. ``min_agreement`` is the share of texts to which both
    versions must give the same label.
    """

    max_error_rate: float = 0.001
    max_slowdown: float = 1.5
    min_agreement: float = 0.8

    def __post_init__(self) -> None:
        for name, value, highest in (
            ("--max-error-rate", self.max_error_rate, 1.0),
            ("--max-slowdown", self.max_slowdown, math.inf),
            ("--min-agreement", self.min_agreement, 1.0),
        ):
            if not 0 <= value <= highest:
                raise MarwrightError(f"{name} must be between 0 and {highest:g}, not {value:g}.")


@dataclass(frozen=True)
class Figures:
    """What marwright's own requests saw: how many, how many without a good answer, and the times of the good ones."""

    requests: int
    failed: int
    statuses: dict[str, int]
    ms: dict[str, float]

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Figures:
        """Sum answers up; percentiles are values that were measured (nearest rank)."""
        bad = [answer for answer in answers if not answer.ok]
        statuses = [f"HTTP {answer.status}" if answer.status else "no answer" for answer in bad]
        good = np.array([answer.ms for answer in answers if answer.ok])
        ms = {f"p{percent}": percentile(good, percent) for percent in (50, 95, 99)} if good.size else {}
        return cls(len(answers), len(bad), {kind: statuses.count(kind) for kind in sorted(set(statuses))}, ms)

    def or_slower(self, other: Figures) -> Figures:
        """The same with each time replaced by the other's where that is longer."""
        ms = {name: max(value, other.ms.get(name, value)) for name, value in self.ms.items()}
        return Figures(self.requests, self.failed, self.statuses, ms)

    @property
    def server_errors(self) -> int:
        """How many answers were a 5xx."""
        return sum(count for kind, count in self.statuses.items() if kind.startswith("HTTP 5"))


@dataclass(frozen=True)
class Comparison:
    """A new version beside the old one.

    ``old`` and ``new`` are of marwright's own requests. ``agreement`` is the share of texts with one label from both;
    ``None`` where answers are no labels. The rest is what TorchServe counted of everybody's requests, ``None`` where it
    shows no metrics: by path for the two versions, and the 5xx of the whole server beyond those that marwright got.
    ``agreement_on_others`` leaves out the texts that the new version was trained on, where there are any.
    """

    old: Figures
    new: Figures
    agreement: float | None = None
    counted_old: Counted | None = None
    counted_new: Counted | None = None
    requests_of_all: float | None = None
    errors_of_others: float | None = None
    agreement_on_others: float | None = None


def agreement(pairs: Sequence[tuple[Answer, ...]], task: Task) -> float | None:
    """The share of texts to which both versions say the same; ``None`` if there is nothing to compare."""
    said = [[task.said(answer.value) if answer.ok else None for answer in pair] for pair in pairs]
    both = [old == new for old, new in said if old is not None and new is not None]
    return sum(both) / len(both) if both else None


def agreement_on_others(pairs: Sequence[tuple[Answer, ...]], task: Task, trained_on: Sequence[bool]) -> float | None:
    """The same without the texts that the new version was trained on; ``None`` if there are none, or only those.

    ``pairs`` are answers to the texts, sent in their order again and again; ``trained_on`` is known of each text, or
    empty.
    """
    if not any(trained_on):
        return None
    others = [pair for pair, known in zip(pairs, itertools.cycle(trained_on), strict=False) if not known]
    return agreement(others, task)


def objections(seen: Comparison, limits: Limits) -> list[str]:
    """What speaks against the new version; empty if nothing does."""
    found = []
    if seen.new.failed > limits.max_error_rate * seen.new.requests:
        kinds = ", ".join(f"{count} {kind}" for kind, count in seen.new.statuses.items())
        found.append(
            f"{seen.new.failed} of {seen.new.requests} requests got no good answer ({kinds}); of those to the old "
            f"version {seen.old.failed} of {seen.old.requests}"
        )
    for name in _JUDGED:
        if name in seen.old.ms and name in seen.new.ms and _slower(seen.old.ms[name], seen.new.ms[name], limits):
            found.append(_slowness(f"{name} of marwright's requests", seen.old.ms[name], seen.new.ms[name], limits))
    if seen.agreement is not None and seen.agreement < limits.min_agreement:
        found.append(
            f"both versions give the same label to {seen.agreement:.1%} of the texts, and at least "
            f"{limits.min_agreement:.1%} are wanted"
        )
    return found + _objections_of_the_server(seen, limits)


def _objections_of_the_server(seen: Comparison, limits: Limits) -> list[str]:
    """What the server's own counters say, which see everybody's requests."""
    found = []
    old = seen.counted_old.mean_ms if seen.counted_old else None
    new = seen.counted_new.mean_ms if seen.counted_new else None
    if old is not None and new is not None and _slower(old, new, limits):
        found.append(_slowness("the mean that TorchServe counted", old, new, limits))
    others, of_all = seen.errors_of_others or 0, seen.requests_of_all or 0
    if others > limits.max_error_rate * of_all:
        found.append(
            f"TorchServe answered {others:g} of {of_all:g} requests with a 5xx that marwright did not send, and does "
            f"not say which version they were for"
        )
    return found


def _slower(old_ms: float, new_ms: float, limits: Limits) -> bool:
    return new_ms > limits.max_slowdown * old_ms and new_ms - old_ms > NEGLIGIBLE_MS


def _slowness(what: str, old_ms: float, new_ms: float, limits: Limits) -> str:
    times = f"{new_ms / old_ms:.1f} times the old version's {old_ms:.1f}"
    return f"{what} is {new_ms:.1f} ms, {times}; at most {limits.max_slowdown:g} times is allowed"
