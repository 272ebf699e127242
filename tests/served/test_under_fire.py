"""What a served archive does on its worst day; `make soak` runs the same scenarios for longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from datasets import load_from_disk

from goods_build import Built
from marwright.resources import shipped
from soak.broken_forms import broken_forms
from soak.finding import Finding
from soak.grpc_calls import grpc_calls
from soak.hostile import hostile
from soak.keys import asked_with_keys
from soak.killed_build import Build, killed_build
from soak.killed_worker import killed_worker
from soak.neighbours import neighbours
from soak.overload import overload
from soak.served import Served, served
from soak.steady import steady

pytestmark = pytest.mark.slow
DEVELOPMENT, PRODUCTION = (shipped("configs") / f"{name}.properties" for name in ("config", "production"))
BATCH_SIZE = 16
QUEUE = 50
"""Shorter than what is shipped, so that a few seconds of overload are enough."""


@pytest.fixture(scope="module")
def texts(built: Built) -> list[str]:
    return list(load_from_disk(str(built.run.data.splits))["validation"]["text"])


@pytest.fixture(scope="module")
def keys_end(built: Built) -> Iterator[Callable[[], Finding]]:
    """A server that has been asked with keys of half a minute; other tests go on until they end."""
    with asked_with_keys(built.archive, PRODUCTION) as ended:
        yield ended


@pytest.fixture(scope="module")
def under_fire(built: Built) -> Iterator[Served]:
    """A server of its own: what is done to it must not reach other tests."""
    with served(built.archive, DEVELOPMENT, {"job_queue_size": str(QUEUE)}) as server:
        yield server


@pytest.mark.alone
def test_overload_is_refused_and_survived(under_fire: Served, texts: list[str]) -> None:
    # Twice at most: its bounds are times, and a machine with neighbours may be slow for some seconds.
    for _ in range(2):
        finding = overload(under_fire, texts, seconds=5, queue=QUEUE, batch_size=BATCH_SIZE)
        if finding.broken == ():
            break
    assert finding.broken == (), finding.summary


def test_hostile_requests_break_nothing_and_change_no_answer(under_fire: Served) -> None:
    finding = hostile(under_fire, cases=2_000, seed=0)
    assert finding.broken == (), finding.summary
    assert finding.figures["cases"] >= 2_000
    assert {"200", "400", "404", "413"} <= set(finding.figures["statuses"]), "the cases reach every kind of answer"


def test_calls_over_grpc_are_answered_streamed_or_refused_and_end_no_worker(under_fire: Served) -> None:
    finding = grpc_calls(under_fire, calls=400, seed=0)
    assert finding.broken == (), finding.summary
    assert {"OK", "INVALID_ARGUMENT", "CANCELLED"} <= set(finding.figures["statuses"])
    assert finding.figures["streams"] > 100


def test_nothing_grows_under_a_steady_load(under_fire: Served, texts: list[str]) -> None:
    # So early Java and oneDNN are still warming up, although the requests before were many: more is allowed than for
    # ten minutes.
    finding = steady(under_fire, texts, seconds=9, warm_up_s=3, most_growth=0.08)
    assert finding.broken == (), finding.summary


def test_a_killed_worker_comes_back_and_takes_only_its_own_batch_with_it(under_fire: Served) -> None:
    finding = killed_worker(under_fire, kills=1, batch_size=BATCH_SIZE, calm_s=1, seed=0)
    assert finding.broken == (), finding.summary
    assert finding.figures["answered_right"] > 100


def test_forms_that_cannot_be_decoded_do_not_eat_the_memory(built: Built) -> None:
    finding = broken_forms(built.archive, DEVELOPMENT, heap_mb=128, forms=400)
    assert finding.broken == (), finding.summary


def test_an_answer_hardly_depends_on_its_neighbours(built: Built, texts: list[str]) -> None:
    finding = neighbours(built.archive, texts[:128], rounds=2, seed=0)
    assert finding.broken == (), finding.summary


@pytest.mark.usefixtures("keys_end")
def test_a_build_killed_at_any_moment_leaves_a_whole_archive_and_goes_on(built: Built, tmp_path: Path) -> None:
    own = built.copied(tmp_path)
    settings = ('archive.version="2.0"', "compression={activations: dynamic, gpu: none}")
    build = Build(own.config, own.archive, settings)
    finding = killed_build(build, stations=["compressed", "archive"], longest_s=4, seed=0)
    assert finding.broken == (), finding.summary


def test_nobody_is_answered_without_a_valid_key(keys_end: Callable[[], Finding]) -> None:
    finding = keys_end()
    assert finding.broken == (), finding.summary
