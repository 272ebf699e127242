"""The handler's figures reach Ray under the names that TorchServe has for them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ray.serve", reason="needs the ray extra")
from marwright.fleet import ray_metrics


class Recorded:
    """A metric that remembers what it was told."""

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        assert description
        assert tag_keys == (("model", "version", "Label") if name == "MarwrightLabels" else ("model", "version"))
        self.told: list[Any] = []
        KNOWN[name] = self

    def set_default_tags(self, tags: dict[str, str]) -> None:
        assert tags == {"model": "goods", "version": "1.0"}

    def inc(self, value: float, tags: dict[str, str] | None = None) -> None:
        self.told.append(value)

    set = inc


KNOWN: dict[str, Recorded] = {}


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> ray_metrics.RayMetrics:
    monkeypatch.setattr(ray_metrics, "Counter", Recorded)
    monkeypatch.setattr(ray_metrics, "Gauge", Recorded)
    return ray_metrics.RayMetrics("goods", "1.0")


def told() -> dict[str, list[Any]]:
    return {name: metric.told for name, metric in KNOWN.items() if metric.told}


def batch(metrics: ray_metrics.RayMetrics) -> None:
    with metrics.phase("ModelTime"):
        for name, value in {"Requests": 2, "Texts": 3, "Tokens": 12, "Slots": 15, "Abstentions": 0}.items():
            metrics.count(name, value)


def test_counters_add_up_and_the_rest_is_the_mean_of_a_batch(metrics: ray_metrics.RayMetrics) -> None:
    for _ in range(2):
        batch(metrics)
        metrics.end_batch()
    metrics.report()
    metrics.report()

    found = told()
    assert found.pop("MarwrightModelTime")[0] > 0
    assert found == {
        "MarwrightRequests": [4],
        "MarwrightTexts": [6],
        "MarwrightTokens": [24],
        "MarwrightBatchTexts": [3],
        "MarwrightPaddingShare": [pytest.approx(20)],
    }


def test_what_no_client_has_asked_is_not_counted(metrics: ray_metrics.RayMetrics) -> None:
    with metrics.muted():
        batch(metrics)
    metrics.report()

    assert told() == {}
