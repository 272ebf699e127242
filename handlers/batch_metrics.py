"""Figures of the batches, handed to TorchServe about once a second, and once more when no batch comes after them.

Each figure is a line that the worker prints and the server parses at any time, whether a batch is in hand or not: for
every batch that would cost as much as the tokenizer. They are declared in configs/metrics.yaml.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

SECONDS_BETWEEN_REPORTS = 1.0
# A batch that comes meanwhile takes the report along, so that under load no other thread wants the interpreter.
SECONDS_OF_GRACE = 0.25
# A label's counter is a line of its own in each report, and Prometheus keeps every one that it has ever seen.
MOST_LABELS = 200
OTHER_LABELS = "(others)"


class BatchMetrics:
    """Gathers figures of the batch in hand, and reports those of the batches that are done.

    Batches are of one thread; what they leave may be reported by another, so that TorchServe has all of it when traffic
    stops.
    """

    def __init__(
        self, seconds_between_reports: float = SECONDS_BETWEEN_REPORTS, seconds_of_grace: float = SECONDS_OF_GRACE
    ) -> None:
        self._between, self._grace = seconds_between_reports, seconds_of_grace
        # By name and label; most have no label.
        self._counts: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._milliseconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._done_counts: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._labels: set[str] = set()
        self._done_milliseconds: defaultdict[str, float] = defaultdict(float)
        self._batches = 0
        self._due = 0.0
        self._timer: threading.Timer | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to a phase of the batch, in milliseconds."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._milliseconds[name] += 1000 * (time.perf_counter() - started)

    def count(self, name: str, value: float, label: str = "") -> None:
        """Add to a counter of the batch, or to that of a label: the first labels that come have one each."""
        if label and label not in self._labels:
            if len(self._labels) < MOST_LABELS:
                self._labels.add(label)
            else:
                label = OTHER_LABELS
        self._counts[name, label] += value

    def forget_batch(self) -> None:
        """Drop the figures of the batch in hand, as of one that warms up."""
        self._counts.clear()
        self._milliseconds.clear()

    def end_batch(self, sink: Any) -> None:
        """The batch is done: report if it is time, or see to it that somebody does.

        A sink has `add_counter(name, value, label)` and `set_gauge(name, value, unit)`; it is none where nobody wants
        figures.
        """
        with self._lock:
            if sink is not None:
                for key, count in self._counts.items():
                    self._done_counts[key] += count
                for name, value in self._milliseconds.items():
                    self._done_milliseconds[name] += value
                self._batches += 1
                self._report_or_wait(sink)
        self.forget_batch()

    def _report_or_wait(self, sink: Any) -> None:
        remaining = self._due - time.monotonic()
        if remaining <= 0:
            self._report(sink)
        elif self._timer is None:
            timer = threading.Timer(remaining + self._grace, self._time_is_up, (sink,))
            timer.daemon = True
            # Where no thread can be had, the next batch reports.
            with suppress(RuntimeError):
                timer.start()
                self._timer = timer

    def _time_is_up(self, sink: Any) -> None:
        with self._lock:
            self._timer = None
            if self._batches:
                self._report_or_wait(sink)

    def _report(self, sink: Any) -> None:
        counts, milliseconds, batches = self._done_counts, self._done_milliseconds, self._batches
        self._done_counts, self._done_milliseconds, self._batches = defaultdict(float), defaultdict(float), 0
        self._due = time.monotonic() + self._between
        slots = counts.pop(("Slots", ""), 0)
        for (name, label), count in counts.items():
            sink.add_counter(f"Marwright{name}", count, label)
        gauges = [("BatchTexts", round(counts["Texts", ""] / batches, 2), "count")]
        if slots:
            gauges.append(("PaddingShare", round(100 * (1 - counts["Tokens", ""] / slots), 1), "percent"))
        gauges += [(name, round(value / batches, 3), "ms") for name, value in milliseconds.items()]
        for name, value, unit in gauges:
            sink.set_gauge(f"Marwright{name}", value, unit)
