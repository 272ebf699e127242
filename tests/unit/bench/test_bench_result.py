"""What the figures of a measurement mean."""

from __future__ import annotations

from array import array
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from marwright.bench.generator import Record
from marwright.bench.picture import draw_histogram
from marwright.bench.result import Result, summarized
from marwright.bench.schedule import Load
from marwright.errors import MarwrightError
from marwright.metrics.latency import percentile


def result_of(
    milliseconds: list[float],
    failures: dict[str, int] | None = None,
    load: Load = Load(rate=100, duration_s=1),  # noqa: B008
    lateness_ms: float = 0.1,
    cpu_s: float = 0.1,
    instances: int = 1,
) -> Result:
    """A result of good answers after so many milliseconds, and of failures."""
    failures = failures or {}
    timeouts = failures.get("timeout", 0)
    due = len(milliseconds) + sum(failures.values())
    record = Record(
        latencies=array("d", [value / 1000 for value in milliseconds] + [load.timeout_s] * timeouts),
        lateness=array("d", [lateness_ms / 1000] * due),
        failures=Counter(failures),
        due=due,
        ok=len(milliseconds),
        answered_in_time=len(milliseconds),
        connections=3,
        sent=due,
        cpu_s=cpu_s,
        wall_s=1.0,
    )
    return summarized(record, load, url="http://127.0.0.1:1/", instances=instances)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([5.0], 50, 5.0),
        ([5.0], 99.9, 5.0),
        ([1.0, 2.0], 50, 1.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 99.9, 100.0),
        ([float(n) for n in range(1, 1001)], 99.9, 999.0),
        ([float(n) for n in range(1, 1001)], 90, 900.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(np.asarray(values), percent) == expected


@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 999, 1000, 1001, 31_999])
@pytest.mark.parametrize("tenths", [500, 900, 950, 990, 999])
def test_percentiles_are_exact_for_every_number_of_values(size: int, tenths: int) -> None:
    values = np.random.default_rng(size).permutation(np.arange(1.0, size + 1))
    wanted = next(value for value in range(1, size + 1) if value * 1000 >= size * tenths)
    assert percentile(values, tenths / 10) == wanted


def test_rates_and_times_have_the_units_they_say() -> None:
    result = result_of([10.0] * 98 + [20.0] * 2, cpu_s=0.005, instances=4, load=Load(rate=50, duration_s=2))
    assert result.latency_ms == {
        "p50": 10,
        "p90": 10,
        "p95": 10,
        "p99": 20,
        "p99.9": 20,
        "max": 20,
        "mean": pytest.approx(10.2),
    }
    assert (result.offered_rate, result.achieved_rate, result.texts_per_second) == (50, 50, 200)
    assert result.generator_cpu_ms == pytest.approx(0.05)
    assert result.generator_cpu_share == pytest.approx(0.005)


def test_the_sla_is_kept_exactly_up_to_p99() -> None:
    result = result_of([10.0] * 99 + [50.0])
    assert result.latency_ms["p99"] == 10
    assert result.keeps(10)
    assert not result.keeps(9.99)
    assert result_of([10.0] * 98 + [50.0] * 2).keeps(49) is False


@pytest.mark.parametrize("kind", ["HTTP 503", "connection", "timeout"])
def test_a_request_that_failed_is_one_that_took_too_long(kind: str) -> None:
    assert result_of([10.0] * 99, {kind: 1}).keeps(40)
    result = result_of([10.0] * 98, {kind: 2})
    assert not result.keeps(40)
    assert not result.keeps(100_000)
    assert result.share_within(100_000) == 0.98


def test_a_timeout_shows_in_the_percentiles_with_the_time_it_was_given() -> None:
    result = result_of([10.0] * 98, {"timeout": 2}, Load(rate=100, duration_s=1, timeout_s=3))
    assert result.latency_ms["p99"] == 3000
    assert result.latency_ms["p95"] == 10


def test_nothing_but_errors_gives_no_latency_and_no_kept_sla(tmp_path: Path) -> None:
    result = result_of([], {"HTTP 500": 5})
    assert set(result.latency_ms.values()) == {None}
    assert not result.keeps(40)
    with pytest.raises(MarwrightError, match="no request was answered"):
        draw_histogram(result, tmp_path / "none.png")


@pytest.mark.parametrize(
    ("lateness_ms", "latency_ms", "believed"), [(0.5, 1, True), (2, 1, False), (2, 100, True), (20, 100, False)]
)
def test_a_generator_that_sends_late_is_not_believed(lateness_ms: float, latency_ms: float, believed: bool) -> None:
    result = result_of([latency_ms] * 100, lateness_ms=lateness_ms)
    assert (not result.doubts) is believed
    assert result.as_json()["trustworthy"] is believed


def test_a_generator_that_needs_a_whole_core_is_not_believed() -> None:
    (doubt,) = result_of([5.0] * 10, cpu_s=0.95).doubts
    assert "95% of a core" in doubt


def test_json_holds_everything_but_the_single_latencies() -> None:
    written = result_of([10.123456] * 10, {"HTTP 503": 1}).as_json(40)
    assert "latencies_ms" not in written
    assert written["latency_ms"]["p50"] == 10.1235
    assert written["failed"] == {"HTTP 503": 1}
    assert written["sla"] == {"ms": 40, "kept": False, "share_within": 0.9091}
    assert "sla" not in result_of([1.0]).as_json()


@pytest.mark.parametrize("latencies", [[7.0], [0.2, 3.0, 900.0], list(np.linspace(5, 60, 500))])
def test_the_histogram_is_a_picture(latencies: list[float], tmp_path: Path) -> None:
    file = tmp_path / "latency.png"
    draw_histogram(result_of(latencies), file, 40)
    assert file.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(MarwrightError, match="cannot be written"):
        draw_histogram(result_of(latencies), file / "no" / "folder.png")


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0},
        {"rate": -1},
        {"clients": 0},
        {"duration_s": 0},
        {"timeout_s": 0},
        {"warm_up_s": -1},
        {"rate": float("nan")},
    ],
)
def test_a_load_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(MarwrightError, match="must be"):
        Load(**wrong)  # type: ignore[arg-type]
