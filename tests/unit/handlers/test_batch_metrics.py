"""Handler metrics: at most one report in a while, and one more for what is left when no batch comes any more."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batch_metrics import BatchMetrics
from marwright.mar.protocol import Body
from marwright.mar.worker import running, tail_of
from torchserve_host import MetricsCache


class Sink:
    """TorchServe's metrics, which note what they are given; each report waits for its last figure."""

    def __init__(self) -> None:
        self.given: list[tuple[str, float]] = []
        self.changed = threading.Condition()

    def add_counter(self, name: str, value: float, dimensions: list[Any]) -> None:
        assert dimensions == []
        with self.changed:
            self.given.append((name, value))
            self.changed.notify_all()

    def add_metric(self, name: str, value: float, unit: str, dimensions: list[Any], metric_type: Any) -> None:
        self.add_counter(name, value, dimensions)

    def total(self, name: str) -> float:
        return sum(value for own, value in self.given if own == name)

    def wait_for_total(self, name: str, value: float) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.total(name) >= value, timeout=30)


def batch(metrics: BatchMetrics, sink: Any, texts: int = 2) -> None:
    with metrics.phase("ModelTime"):
        metrics.count("Texts", texts)
        metrics.count("Tokens", 3 * texts)
        metrics.count("Slots", 4 * texts)
    metrics.end_batch(None if sink is None else MetricsCache(sink))


def test_the_first_batch_is_reported_at_once_and_the_next_ones_when_it_is_time() -> None:
    sink, metrics = Sink(), BatchMetrics(seconds_between_reports=1000)
    batch(metrics, sink)
    reported = dict(sink.given)
    for _ in range(5):
        batch(metrics, sink)

    assert reported["MarwrightTexts"] == reported["MarwrightBatchTexts"] == 2
    assert reported["MarwrightPaddingShare"] == 25
    assert dict(sink.given) == reported


def test_what_is_left_when_traffic_stops_is_reported_without_another_batch() -> None:
    sink, metrics = Sink(), BatchMetrics(seconds_between_reports=0.05, seconds_of_grace=0.01)
    for _ in range(7):
        batch(metrics, sink)

    assert sink.wait_for_total("MarwrightTexts", 14)
    assert sink.total("MarwrightTexts") == 14


def test_nothing_is_counted_twice_or_lost_while_batches_and_reports_meet() -> None:
    sink, metrics = Sink(), BatchMetrics(seconds_between_reports=0.002, seconds_of_grace=0)
    started, batches = time.monotonic(), 0
    while time.monotonic() < started + 0.3:
        batch(metrics, sink, texts=1)
        batches += 1

    assert sink.wait_for_total("MarwrightTexts", batches)
    assert sink.total("MarwrightTexts") == batches
    # Each mean is of whole batches: a report never meets one half done.
    assert {value for name, value in sink.given if name == "MarwrightBatchTexts"} == {1}


def test_a_batch_that_warms_up_is_not_counted_and_neither_is_one_without_metrics() -> None:
    sink, metrics = Sink(), BatchMetrics()
    metrics.count("Texts", 5)
    metrics.forget_batch()
    batch(metrics, None)
    batch(metrics, sink)

    assert sink.total("MarwrightTexts") == 2


def test_labels_have_counters_of_their_own_and_a_line_that_torchserve_can_read() -> None:
    given: list[tuple[str, float, list[str]]] = []

    class Cache:
        def add_counter(self, name: str, value: float, dimensions: list[Any]) -> None:
            given.append((name, value, [str(each) for each in dimensions]))

        def add_metric(self, *_: Any, **__: Any) -> None:
            pass

    metrics = BatchMetrics()
    for label in ("Coffee, tea: mate", "Käse", "Käse"):
        metrics.count("Labels", 1, label)
    metrics.end_batch(MetricsCache(Cache()))

    assert given == [("MarwrightLabels", 1, ["Label:Coffee tea mate"]), ("MarwrightLabels", 2, ["Label:Käse"])]


def test_where_there_are_very_many_labels_those_that_come_late_share_a_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_metrics.MOST_LABELS", 2)
    counted: dict[str, float] = {}
    sink = SimpleNamespace(
        add_counter=lambda name, value, label: counted.update({label: value}), set_gauge=lambda *_: None
    )
    metrics = BatchMetrics()
    for label in ("tea", "rice", "wool", "silk", "tea"):
        metrics.count("Labels", 1, label)
    metrics.end_batch(sink)

    assert counted == {"tea": 2, "rice": 1, "(others)": 2}


def test_where_no_thread_can_be_started_the_next_batch_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refused)
    sink, metrics = Sink(), BatchMetrics(seconds_between_reports=0.001)
    batch(metrics, sink)
    while sink.total("MarwrightTexts") <= 2:
        batch(metrics, sink)

    assert sink.total("MarwrightTexts") >= 4


@pytest.mark.slow
def test_a_real_worker_prints_the_counts_of_its_last_batch(tiny_archive: Path) -> None:
    with running(tiny_archive) as worker:
        for _ in range(3):
            worker.answer([Body(b'{"text": "tea"}')])
        deadline = time.monotonic() + 30
        while _requests_printed(tail_of(worker.log)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        printed = _requests_printed(tail_of(worker.log))

    assert printed == 3


def _requests_printed(log: str) -> int:
    lines = [line for line in log.splitlines() if line.startswith("[METRICS]MarwrightRequests.")]
    return sum(int(line.partition(":")[2].partition("|")[0].partition(".")[0]) for line in lines)
