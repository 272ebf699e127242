"""The handler's figures as metrics of Ray: the names and kinds that TorchServe's metrics have, by model and version."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from ray.util.metrics import Counter, Gauge

COUNTERS = {
    "Requests": "Requests",
    "Texts": "Texts in requests",
    "Tokens": "Real tokens",
    "UnknownTokens": "Tokens that stand for what has none",
    "BadItems": "Requests answered with 400 or 501",
    "Abstentions": "Texts that got no label",
}
GAUGES = {
    "BatchTexts": "Texts in a batch",
    "PaddingShare": "Padding in the batches as they reach the module, in percent",
}
PHASES = ("ParseTime", "EncodeTime", "ModelTime", "AnswerTime")


class RayMetrics:
    """Gathers figures of batches until :meth:`report` hands them to Ray: each of Ray's calls costs as much as a text.

    All is called by the one thread that asks the Model.
    """

    def __init__(self, model: str, version: str) -> None:
        tags = {"model": model, "version": version}
        gauges = GAUGES | {phase: f"{phase} of a batch, in milliseconds" for phase in PHASES}
        self._counters = {name: Counter(f"Marwright{name}", text, tuple(tags)) for name, text in COUNTERS.items()}
        self._labels = Counter("MarwrightLabels", "Texts whose best label it is", (*tags, "Label"))
        self._gauges = {name: Gauge(f"Marwright{name}", text, tuple(tags)) for name, text in gauges.items()}
        for metric in (self._labels, *self._counters.values(), *self._gauges.values()):
            metric.set_default_tags(tags)
        self._counts: defaultdict[tuple[str, str], float] = defaultdict(float)
        """By name and label."""
        self._milliseconds: defaultdict[str, float] = defaultdict(float)
        self._batches = 0
        self._is_muted = False

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            if not self._is_muted:
                self._milliseconds[name] += 1000 * (time.perf_counter() - started)

    def count(self, name: str, value: float, label: str = "") -> None:
        """Add to a counter, or to that of a label."""
        if not self._is_muted:
            self._counts[name, label] += value

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Count nothing that the block does, as of a request that no client has sent."""
        self._is_muted = True
        try:
            yield
        finally:
            self._is_muted = False

    def end_batch(self) -> None:
        """A batch is done."""
        self._batches += 1

    def report(self) -> None:
        """Hand what was gathered to Ray: counters, and the mean of a batch for the rest."""
        if not self._batches:
            return
        counts, gauges = self._counts, {name: value / self._batches for name, value in self._milliseconds.items()}
        gauges["BatchTexts"] = counts["Texts", ""] / self._batches
        if slots := counts["Slots", ""]:
            gauges["PaddingShare"] = 100 * (1 - counts["Tokens", ""] / slots)
        for (name, label), count in counts.items():
            if label:
                self._labels.inc(count, {"Label": label})
            elif count and name in self._counters:
                self._counters[name].inc(count)
        for name in gauges.keys() & self._gauges.keys():
            self._gauges[name].set(gauges[name])
        self._counts, self._milliseconds, self._batches = defaultdict(float), defaultdict(float), 0
