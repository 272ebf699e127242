"""What a rollout judges by, and what it does to the model store."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from marwright.errors import ArchiveError, MarwrightError, ServerError
from marwright.files import sha256_of
from marwright.mar.signing import signature_of
from marwright.release import Limits, LiveServer, Plan, release
from marwright.release.predictions import Answer
from marwright.release.server_metrics import Counted, parse
from marwright.release.store import Store
from marwright.release.verdict import Comparison, Figures, agreement, objections
from marwright.server.archives import archives_to_serve
from marwright.tasks import SINGLE_LABEL, TASKS

# --- the verdict -------------------------------------------------------------------------------------------------


def answers(times_ms: list[float], label: str = "tea", failed: int = 0, status: int = 503) -> list[Answer]:
    good = [Answer(200, ms, {label: 0.9}) for ms in times_ms]
    return good + [Answer(status, 1.0, None)] * failed


def compared(old: list[Answer], new: list[Answer]) -> Comparison:
    return Comparison(Figures.of(old), Figures.of(new))


def test_percentiles_are_values_that_were_measured() -> None:
    figures = Figures.of(answers([float(ms) for ms in range(100, 0, -1)], failed=2))

    assert figures.ms == {"p50": 50, "p95": 95, "p99": 99}
    assert (figures.requests, figures.failed, figures.statuses) == (102, 2, {"HTTP 503": 2})


def test_a_version_as_good_as_the_old_one_has_nothing_against_it() -> None:
    assert objections(compared(answers([10.0] * 100), answers([14.9] * 100)), Limits()) == []


@pytest.mark.parametrize(
    ("old_ms", "new_ms", "limit", "refused"),
    [(10.0, 15.1, 1.5, True), (10.0, 15.1, 1.6, False), (2.0, 6.9, 1.5, False), (2.0, 7.1, 1.5, True)],
    ids=["slower", "allowed", "slower by less than the machine's noise", "slower by more"],
)
def test_a_slower_version_is_refused(old_ms: float, new_ms: float, limit: float, refused: bool) -> None:
    found = objections(compared(answers([old_ms] * 100), answers([new_ms] * 100)), Limits(max_slowdown=limit))

    assert bool(found) == refused
    assert not found or "p50" in found[0]


def test_a_version_that_is_slow_for_one_text_in_ten_is_refused_by_its_95th_percentile() -> None:
    (reason,) = objections(compared(answers([10.0] * 100), answers([10.0] * 90 + [40.0] * 10)), Limits())

    assert reason.startswith("p95 of marwright's requests is 40.0 ms, 4.0 times the old version's 10.0")


def test_a_new_default_is_held_against_the_slower_of_two_looks_at_the_old_one() -> None:
    now, before = Figures.of(answers([10.0] * 90 + [60.0] * 10)), Figures.of(answers([20.0] * 100))

    slower = now.or_slower(before)

    assert slower.ms == {"p50": 20, "p95": 60, "p99": 60}
    assert slower.requests == 100
    assert now.or_slower(Figures.of([])).ms == now.ms


@pytest.mark.parametrize(("failed", "limit", "refused"), [(1, 0.0, True), (1, 0.005, True), (1, 0.01, False)])
def test_errors_are_counted_against_all_requests(failed: int, limit: float, refused: bool) -> None:
    new = answers([10.0] * (100 - failed), failed=failed)

    assert bool(objections(compared(answers([10.0] * 100), new), Limits(max_error_rate=limit))) == refused


def test_a_version_that_answers_nothing_is_refused_for_that_alone() -> None:
    (reason,) = objections(compared(answers([10.0] * 100), answers([], failed=100, status=0)), Limits())

    assert "100 of 100 requests got no good answer (100 no answer)" in reason


def test_agreement_is_of_texts_that_both_answered() -> None:
    pairs = [
        (Answer(200, 1, {"tea": 0.9}), Answer(200, 1, {"tea": 0.5})),
        (Answer(200, 1, {"tea": 0.9}), Answer(200, 1, {"rice": 0.5})),
        (Answer(200, 1, {"tea": 0.9}), Answer(503, 1, {"code": 503})),
    ]
    assert agreement(pairs, TASKS[SINGLE_LABEL]) == 0.5
    assert agreement([(Answer(200, 1, [0.1]), Answer(200, 1, [0.1]))], TASKS[SINGLE_LABEL]) is None

    seen = replace(compared(answers([1.0] * 60), answers([1.0] * 60)), agreement=0.5)
    assert "same label to 50.0% of the texts" in objections(seen, Limits())[0]
    assert not objections(seen, Limits(min_agreement=0.5))


def test_what_torchserve_counted_of_others_requests_counts_too() -> None:
    same_to_us = compared(answers([10.0] * 100), answers([10.0] * 100))
    slow = replace(same_to_us, counted_old=Counted(100, 1000), counted_new=Counted(400, 12000))
    failing = replace(same_to_us, requests_of_all=1000, errors_of_others=2)

    assert "the mean that TorchServe counted is 30.0 ms" in objections(slow, Limits())[0]
    assert "2 of 1000 requests with a 5xx" in objections(failing, Limits())[0]
    assert not objections(failing, Limits(max_error_rate=0.01))


@pytest.mark.parametrize(
    "values", [{"max_error_rate": 1.1}, {"max_slowdown": -1}, {"min_agreement": float("nan")}], ids=str
)
def test_limits_that_cannot_be_meant_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(MarwrightError, match=r"must be between 0 and"):
        Limits(**values)


def test_a_share_of_nothing_is_no_canary() -> None:
    with pytest.raises(MarwrightError, match="--canary-share"):
        Plan(share=0)


# --- TorchServe's counters -------------------------------------------------------------------------------------------

METRICS = """\
# TYPE ts_inference_requests_total counter
ts_inference_requests_total{model_name="goods",model_version="default",hostname="vm",} %d.0
ts_inference_requests_total{model_name="goods",model_version="2.0",hostname="vm",} 4.0
ts_inference_requests_total{model_name="other",model_version="2.0",hostname="vm",} 1000.0
ts_inference_latency_microseconds{model_name="goods",model_version="2.0",hostname="vm",} 10000.0
ts_inference_latency_microseconds{model_name="goods",model_version="default",hostname="vm",} 5000.0
Requests5XX{Level="Host",Hostname="vm",} 3.0
"""


def test_counters_are_read_by_the_path_that_was_asked() -> None:
    counters = parse(METRICS % 10, "goods")

    assert counters is not None
    assert counters.of(None) == Counted(10, 5)
    assert counters.of("2.0") == Counted(4, 10)
    assert counters.of("1.0") == Counted()
    assert counters.requests == 14
    assert counters.server_errors == 3
    earlier = parse(METRICS % 7, "goods")
    assert earlier is not None
    assert counters.since(earlier).of(None).requests == 3


def test_a_server_that_shows_no_metrics_has_no_counters() -> None:
    assert parse("", "goods") is None


@pytest.mark.parametrize("version", ["../2.0", ".2", "2..0", "2/0", "2 0"])
def test_a_version_that_would_leave_the_store_is_refused(tmp_path: Path, version: str) -> None:
    served = LiveServer.at("http://127.0.0.1:1", tmp_path)

    with pytest.raises(ArchiveError, match="cannot be a model's version"):
        release(archive(tmp_path / "goods.mar", version), served, Plan())


# --- the model store ---------------------------------------------------------------------------------------------


def archive(file: Path, version: str, name: str = "goods") -> Path:
    with zipfile.ZipFile(file, "w") as opened:
        about = {"model": {"modelName": name, "modelVersion": version, "handler": "handler.py"}}
        opened.writestr("MAR-INF/MANIFEST.json", json.dumps(about))
        opened.writestr("handler.py", f"# {version}")
    return file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    archive(tmp_path / "store" / "shop-goods.mar", "1.0")
    archive(tmp_path / "store" / "other.mar", "7", name="other")
    return Store(tmp_path / "store", "goods")


def names(store: Store) -> set[str]:
    return {path.name for path in store.folder.iterdir()}


def test_a_restart_finds_the_version_that_was_put_in_sight_and_the_other_one_is_kept(
    store: Store, tmp_path: Path
) -> None:
    new = archive(tmp_path / "goods.mar", "2.0")
    signature_of(new).write_bytes(b"of 2.0")
    was, is_ = sha256_of(store.in_sight()), sha256_of(new)
    signature_of(store.in_sight()).write_bytes(b"of 1.0")

    folder = store.take_in(new, "2.0", is_)

    assert (store.folder / folder / "handler.py").read_text() == "# 2.0"
    assert archives_to_serve(store.folder) == ["other.mar", "shop-goods.mar"]
    assert store.version_in_sight() == "1.0"

    there = store.put_in_sight("2.0")

    assert there == store.folder / "shop-goods.mar"
    assert sha256_of(there) == is_
    assert signature_of(there).read_bytes() == b"of 2.0"
    assert sha256_of(store.archive("1.0")) == was
    assert archives_to_serve(store.folder) == ["other.mar", "shop-goods.mar"]

    store.put_in_sight("1.0")

    assert sha256_of(there) == was
    assert signature_of(there).read_bytes() == b"of 1.0"
    assert sha256_of(store.archive("2.0")) == is_
    assert store.put_in_sight("3.0") is None


def test_a_version_that_was_withdrawn_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    before = names(store)
    new = archive(tmp_path / "goods.mar", "2.0")
    store.take_in(new, "2.0", sha256_of(new))

    store.clear_away("2.0")

    assert names(store) == before


def test_an_archive_that_the_store_keeps_is_never_removed_by_trying_it_again(store: Store) -> None:
    kept = archive(store.archive("2.0"), "2.0")
    store.take_in(kept, "2.0", sha256_of(kept))

    store.clear_away("2.0", but=kept)

    assert kept.is_file()


def test_the_signature_of_another_archive_does_not_stay_beside_one_without(store: Store, tmp_path: Path) -> None:
    archive(store.archive("2.0"), "2.0")
    signature_of(store.archive("2.0")).write_bytes(b"of an earlier one")
    new = archive(tmp_path / "goods.mar", "2.0")
    store.keep(new, "2.0", sha256_of(new))

    assert not signature_of(store.archive("2.0")).exists()


def test_an_archive_that_changes_while_it_is_checked_is_not_taken(store: Store, tmp_path: Path) -> None:
    new = archive(tmp_path / "goods.mar", "2.0")
    before = names(store)

    with pytest.raises(ArchiveError, match="changed while it was checked"):
        store.take_in(new, "2.0", "0" * 64)
    assert names(store) == before


def test_two_archives_of_a_model_in_sight_are_refused_since_a_restart_would_serve_either(store: Store) -> None:
    archive(store.folder / "goods-2.mar", "2.0")

    with pytest.raises(ServerError, match=r"2 archives of goods: goods-2\.mar, shop-goods\.mar"):
        store.in_sight()


# --- which server ----------------------------------------------------------------------------------------------------


def test_a_server_of_somebody_else_has_the_usual_ports_unless_they_are_named(tmp_path: Path) -> None:
    served = LiveServer.at("http://model-host:9001/", tmp_path, metrics="http://model-host:9002")

    assert (served.inference, served.management) == ("http://model-host:8080", "http://model-host:9001")
    assert served.metrics == "http://model-host:9002"


@pytest.mark.parametrize("address", ["model-host:8081", "https://model-host", "http://model-host/models"])
def test_an_address_that_is_none_is_named(address: str, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="of the form http://HOST:PORT"):
        LiveServer.at(address, tmp_path)


def test_without_a_server_there_is_nothing_to_roll_out_to(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="No server runs from"):
        LiveServer.of_state(tmp_path)
