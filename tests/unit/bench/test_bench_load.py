"""The load generator against a server that answers well or badly."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator

import pytest

from answering_server import BROKEN, CLOSING, STALL_S, STALLS_AT, WELL, answering
from marwright.bench import Load, Result, measure
from marwright.bench.connection import Address
from marwright.bench.generator import Generator
from marwright.bench.schedule import ClosedLoop, OpenLoop

TEXTS = ["herbal tea", "rice in the husk", "Käse, «frisch»"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with answering() as url:
        yield url


@pytest.fixture
def fresh() -> Iterator[str]:
    """A server that has not answered anything yet."""
    with answering() as url:
        yield url


def briefly(url: str, **load: float) -> Result:
    return measure(url, TEXTS, Load(**({"duration_s": 0.5, "warm_up_s": 0.1} | load)))  # type: ignore[arg-type]


def test_open_loop_moments_are_even_whatever_the_server_does() -> None:
    schedule = OpenLoop(10, 11, rate=3)
    moments = []
    while schedule.next_due < math.inf:
        moments.append(schedule.take())
        schedule.failed(10.5)
        schedule.answered(10.6)
    assert moments == pytest.approx([10, 10 + 1 / 3, 10 + 2 / 3])


def test_closed_loop_clients_wait_for_their_answers() -> None:
    schedule = ClosedLoop(10, 11, clients=2)
    assert [schedule.take(), schedule.take(), schedule.next_due] == [10, 10, math.inf]
    schedule.failed(10.2)  # waits a little
    schedule.answered(10.25)
    assert schedule.take() == 10.25
    assert schedule.take() == pytest.approx(10.3)
    schedule.answered(11)
    assert schedule.next_due == math.inf


@pytest.mark.alone
@pytest.mark.parametrize("clients", [None, 2], ids=["many connections", "two connections"])
def test_a_server_that_stalls_cannot_hide_it(fresh: str, clients: int | None) -> None:
    result = briefly(f"{fresh}/stalls", rate=200, duration_s=1.5, warm_up_s=0, clients=clients)
    assert result.ok == result.due == 300
    # It stands still for a third of the time: every request that was due meanwhile waits for its end.
    assert result.latency_ms["max"] == pytest.approx(1000 * STALL_S, rel=0.3)
    assert result.latency_ms["p99"] > 900 * STALL_S
    assert result.latency_ms["p90"] > 500 * STALL_S
    assert result.latency_ms["p50"] < 100
    assert not result.keeps(400)
    assert result.connections == (clients or result.connections)


@pytest.mark.alone
def test_with_one_waiting_client_the_same_stall_is_one_slow_request(fresh: str) -> None:
    result = briefly(f"{fresh}/stalls", clients=1, duration_s=1.5, warm_up_s=0)
    assert result.due > 2 * STALLS_AT
    assert result.latency_ms["max"] > 900 * STALL_S
    assert result.latency_ms["p95"] < 100


@pytest.mark.alone
def test_requests_that_find_every_connection_busy_wait_and_their_waiting_counts(server: str) -> None:
    # One connection answers 20 requests a second, and 40 are due.
    result = briefly(f"{server}/takes-50-ms", rate=40, clients=1, duration_s=1, warm_up_s=0)
    assert result.ok == result.due == 40
    assert result.connections == 1
    assert result.achieved_rate == pytest.approx(18, abs=4)
    assert result.latency_ms["max"] > 900
    assert briefly(f"{server}/takes-50-ms", rate=40, warm_up_s=0).latency_ms["max"] < 500


@pytest.mark.alone
def test_requests_that_were_never_sent_in_time_are_timeouts(server: str) -> None:
    result = briefly(f"{server}/takes-50-ms", rate=100, clients=1, duration_s=0.5, warm_up_s=0, timeout_s=0.2)
    assert result.due == 50
    assert result.failed["timeout"] == result.due - result.ok > 30
    assert result.latency_ms["max"] == 200


@pytest.mark.alone
def test_failures_are_counted_by_their_kind(fresh: str) -> None:
    result = briefly(f"{fresh}/one-in-four", rate=80, warm_up_s=0, timeout_s=0.3)
    assert result.due == 40
    assert result.ok == 10
    assert result.failed == {"HTTP 503": 10, "connection": 10, "timeout": 10}
    assert result.latency_ms["max"] == 300


def test_a_closed_loop_counts_them_too(fresh: str) -> None:
    result = briefly(f"{fresh}/one-in-four", clients=4, timeout_s=0.1)
    assert set(result.failed) == {"HTTP 503", "connection", "timeout"}
    assert result.due == result.ok + sum(result.failed.values())


@pytest.mark.parametrize("path", [*WELL, *CLOSING])
def test_every_form_of_a_good_answer_is_one(server: str, path: str) -> None:
    result = briefly(server + path, clients=2, duration_s=0.3)
    assert result.failed == {}
    assert result.ok == result.due > 3


@pytest.mark.parametrize("path", BROKEN)
def test_a_broken_answer_is_a_failure(server: str, path: str) -> None:
    result = briefly(server + path, rate=50)
    assert result.failed == {"connection": 25}


def test_a_server_that_is_gone_is_not_asked_as_fast_as_possible() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, so that nobody else gets it, but not listening
        address = Address(socket.AF_INET, nobody.getsockname())
        load = Load(clients=3, duration_s=0.35, warm_up_s=0)
        record = Generator(address, [b""], load, None).run()
    assert record.failures == {"connection": record.due}
    assert 9 <= record.due <= 15


@pytest.mark.alone
def test_what_is_due_in_the_warm_up_is_not_counted(server: str) -> None:
    result = briefly(f"{server}/plain", rate=100, duration_s=0.5, warm_up_s=0.5)
    assert result.due == result.ok == 50


@pytest.mark.alone
def test_a_closed_loop_has_as_many_connections_as_clients(server: str) -> None:
    result = briefly(f"{server}/takes-50-ms", clients=8)
    assert result.connections == 8
    assert 30 < result.ok <= 88
    assert not result.open_loop


@pytest.mark.alone
def test_a_generator_that_is_held_up_says_so(server: str) -> None:
    def slow(*_: object) -> None:
        time.sleep(0.3)

    result = measure(f"{server}/plain", TEXTS, Load(rate=200, duration_s=1, warm_up_s=0), observer=slow)
    (doubt,) = result.doubts
    assert "could not keep up" in doubt
    assert result.generator_lateness_ms["max"] > 250
    # What it was late stands in the latencies: they are too long rather than too short.
    assert result.latency_ms["p99"] > 200
    assert result.ok == 200


@pytest.mark.alone
def test_the_observer_sees_the_run(server: str) -> None:
    seen = []
    load = Load(rate=100, duration_s=1, warm_up_s=0.1)
    measure(f"{server}/plain", TEXTS, load, observer=lambda seconds, record: seen.append((seconds, record.ok)))
    assert seen == sorted(seen)
    assert seen[0][0] == pytest.approx(0.5, abs=0.2)
    assert 10 < seen[0][1] < 70
