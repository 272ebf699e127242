"""A GPU whose graphs fail in every way that can be played: right answers, or a clear end."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_buckets import Bucket
from cuda_graph_runtime import REPLAYS_PER_CHECK, CudaGraphRuntime, load_onto
from encoder_cases import batch_of
from fake_cuda import DEAD, FakeCuda, Fault, Kind
from gpu.archived import importable, loaded
from graph_proof import chance_batch, disagreement, golden_batch
from marwright.mar import layout
from marwright.mar.reading import unpacked
from marwright.runtimes import jit

BUCKETS: list[Bucket] = [(1, 8), (1, 16), (4, 8), (4, 16)]
GOLDEN = [[2, 4, 5, 3], [2, 6, 4, 5, 5, 6, 4, 4, 6, 5, 3], [2, 3]]
SETTINGS: dict[str, Any] = {"buckets": BUCKETS, "graph_megabytes": 64, "precision": "fp16", "golden_ids": GOLDEN}
LENGTHS = [(5,), (9, 2), (3, 16, 1), (16,), (1, 1, 1, 1, 1), (2, 7)]
KINDS: tuple[Kind, ...] = get_args(Kind)


def module(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A classifier that is done at once: each text's logits are the sum of its tokens' rows, whatever pads it."""
    rows = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
    return torch.einsum("tlc,tl->tc", rows[ids], mask.float())


def served(cuda: FakeCuda, **changed: Any) -> CudaGraphRuntime:
    return load_onto(cuda, Path("model_gpu.pt"), SETTINGS | changed)


def right(runtime: CudaGraphRuntime, seed: int, lengths: tuple[int, ...]) -> bool:
    ids, mask = batch_of(lengths, seed=seed)
    with torch.inference_mode():
        return torch.allclose(runtime.logits(ids, mask), module(ids, mask), atol=1e-4, rtol=0)


def answers_rightly(runtime: CudaGraphRuntime) -> bool:
    return all(right(runtime, seed, lengths) for seed, lengths in enumerate(LENGTHS))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- at load -----------------------------------------------------------------------------------------------------


def test_graphs_that_answer_rightly_are_all_used(caplog: pytest.LogCaptureFixture) -> None:
    runtime = served(FakeCuda(module))

    assert sorted(runtime.replays) == BUCKETS
    assert answers_rightly(runtime)
    assert said(caplog) == []


@pytest.mark.parametrize("kind", ["wrong", "no number", "no memory", "refused"])
def test_a_bucket_whose_graph_fails_its_proof_is_dropped_alone_with_one_line(
    caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    # The first replay is the recording's own.
    runtime = served(FakeCuda(module, replaying={(4, 8): Fault(kind, first=2)}))

    assert sorted(runtime.replays) == [(1, 8), (1, 16), (4, 16)]
    (line,) = said(caplog)
    assert "4 texts × 8 tokens given up: " in line
    assert answers_rightly(runtime)


def test_a_graph_that_always_answers_the_same_is_found_out() -> None:
    runtime = served(FakeCuda(module, replaying={(1, 16): Fault("stale")}))

    assert (1, 16) not in runtime.replays
    assert answers_rightly(runtime)


def test_a_graph_that_is_wrong_once_is_not_used_again() -> None:
    runtime = served(FakeCuda(module, replaying={(1, 8): Fault("wrong", first=3, last=3)}))

    assert (1, 8) not in runtime.replays
    assert answers_rightly(runtime)


def test_the_others_are_asked_again_after_one_was_given_up() -> None:
    # The memory of the one that is given up in the second proof was another's, which is wrong from its third on.
    replaying = {(1, 8): Fault("wrong", first=3), (4, 16): Fault("wrong", first=4)}
    runtime = served(FakeCuda(module, replaying=replaying))

    assert sorted(runtime.replays) == [(1, 16), (4, 8)]
    assert answers_rightly(runtime)


def test_a_graph_without_memory_while_it_is_recorded_is_left_out() -> None:
    runtime = served(FakeCuda(module, recording={(4, 16): "no memory"}))

    assert sorted(runtime.replays) == [(1, 8), (1, 16), (4, 8)]
    assert answers_rightly(runtime)


def test_without_memory_for_the_plain_run_a_graph_is_not_proven_and_not_used() -> None:
    runtime = served(FakeCuda(module, most_texts=2))

    assert sorted(runtime.replays) == [(1, 8), (1, 16)]


def test_what_cannot_be_recorded_is_computed_plainly(caplog: pytest.LogCaptureFixture) -> None:
    runtime = served(FakeCuda(module, recording={(4, 16): "refused"}))

    assert not runtime.replays
    (line,) = said(caplog)
    assert "recording ended at 4 texts × 16 tokens: operation not permitted" in line
    assert answers_rightly(runtime)


def test_a_driver_without_graphs_computes_plainly(caplog: pytest.LogCaptureFixture) -> None:
    runtime = served(FakeCuda(module, graphs_at_all=False))

    assert not runtime.replays
    (line,) = said(caplog)
    assert "CUDA graphs: none: RuntimeError: CUDA driver version is insufficient" in line
    assert answers_rightly(runtime)


@pytest.mark.parametrize(
    "cuda",
    [
        {"recording": {(4, 16): "dies"}},
        {"recording": {(1, 8): "dies"}},
        {"replaying": {(4, 16): Fault("dies")}},
        {"replaying": {(1, 8): Fault("dies", first=3)}},
        {"dies_at_run": 1},
        {"dies_at_run": 23},
    ],
    ids=str,
)
def test_a_driver_that_dies_at_load_ends_the_worker_with_a_sentence(cuda: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="cpu answers nothing any more: CUDA error: an illegal memory access"):
        served(FakeCuda(module, **cuda))


# --- later -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["no memory", "refused"])
def test_a_graph_that_fails_later_is_given_up_and_its_batch_computed_plainly(
    caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    runtime = served(FakeCuda(module, replaying={(1, 8): Fault(kind, first=5)}))

    assert sorted(runtime.replays) == BUCKETS
    assert all(right(runtime, seed, (5,)) for seed in range(4))
    assert sorted(runtime.replays) == [(1, 16), (4, 8), (4, 16)]
    assert len(said(caplog)) == 1
    assert answers_rightly(runtime)


def test_a_driver_that_dies_later_ends_the_worker_with_a_sentence() -> None:
    runtime = served(FakeCuda(module, replaying={(1, 8): Fault("dies", first=5)}))

    assert right(runtime, 0, (5,))
    with pytest.raises(SystemExit, match="answers nothing any more"):
        right(runtime, 1, (5,))


def test_graphs_that_become_wrong_while_they_serve_are_found_out_and_all_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime = served(FakeCuda(module, replaying={(1, 8): Fault("wrong", first=6)}))
    wrong = [number for number in range(REPLAYS_PER_CHECK + 5) if not right(runtime, number, (5,))]

    assert wrong
    assert max(wrong) < REPLAYS_PER_CHECK - 1
    assert not runtime.replays
    assert len(said(caplog)) == len(BUCKETS)
    assert answers_rightly(runtime)


def test_a_check_without_memory_for_it_gives_nothing_up() -> None:
    cuda = FakeCuda(module)
    runtime = served(cuda)
    runtime._replays_per_check = 1
    cuda.most_texts = 0
    ids, mask = batch_of((5,))

    # The fake's graphs compute by the module itself.
    assert runtime._wrong(torch.stack((ids, mask)), module(ids, mask)) is None
    assert sorted(runtime.replays) == BUCKETS


# --- anything at all ---------------------------------------------------------------------------------------------

FAULTS = st.builds(Fault, kind=st.sampled_from(KINDS), first=st.integers(1, 8))
BATCHES = st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=6).map(tuple), min_size=1, max_size=6)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    recording=st.dictionaries(st.sampled_from(BUCKETS), st.sampled_from(("no memory", "refused", "dies")), max_size=2),
    replaying=st.dictionaries(st.sampled_from(BUCKETS), FAULTS, max_size=4),
    dies_at_run=st.one_of(st.just(10**9), st.integers(1, 60)),
    graphs_at_all=st.booleans(),
    batches=BATCHES,
)
def test_whatever_fails_answers_are_right_or_the_worker_ends(
    recording: dict[Bucket, Kind],
    replaying: dict[Bucket, Fault],
    dies_at_run: int,
    graphs_at_all: bool,
    batches: list[tuple[int, ...]],
) -> None:
    cuda = FakeCuda(module, recording, replaying, dies_at_run=dies_at_run, graphs_at_all=graphs_at_all)
    ended = ""
    try:
        runtime = served(cuda)
        # Each replay is checked, so that none can be wrong unseen.
        runtime._replays_per_check = 1
        for seed, lengths in enumerate(batches):
            try:
                assert right(runtime, seed, lengths)
            except RuntimeError:
                # A plain run on a GPU that has died; the handler then asks for this.
                cuda.recover()
    except SystemExit as end:
        ended = str(end)
    assert ended == (f"cpu answers nothing any more: {DEAD}" if cuda.dead else "")


# --- in the handler ----------------------------------------------------------------------------------------------

SERVED: list[Bucket] = [(1, 8), (8, 8)]
TEXTS = ["of the tea", "and of the", "tea and tea", "the of", "and and"]


@pytest.fixture(scope="module")
def folder(tiny_archive: Path) -> Iterator[Path]:
    with unpacked(tiny_archive) as unpacked_folder, importable(unpacked_folder):
        yield unpacked_folder


def bodies(archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, cuda: FakeCuda) -> list[Any]:
    """What the real handler answers, on the fake, with the archive's own module for GPUs: each alone, and all."""
    threads = torch.get_num_threads()
    archived = loaded(archive, folder, None)
    torch.set_num_threads(threads)
    settings = json.loads((folder / layout.SETUP).read_text())["modules"]["cuda"]
    archived.handler.runtime = load_onto(cuda, folder / layout.GPU_MODULE, settings | {"buckets": SERVED})
    archived.handler.device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: cuda.wait())
    asked = [[text] for text in TEXTS] + [TEXTS]
    return [json.loads(body) for texts in asked for body in archived.answer(texts)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [Fault("wrong", 2), Fault("no number", 3), Fault("no memory", 4), Fault("refused", 5), Fault("stale")],
    ids=str,
)
def test_the_handler_answers_alike_whatever_its_graphs_do(
    tiny_archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    half = jit.load(folder / layout.GPU_MODULE)
    plain = bodies(tiny_archive, folder, monkeypatch, FakeCuda(half, graphs_at_all=False))
    found = bodies(tiny_archive, folder, monkeypatch, FakeCuda(half, replaying=dict.fromkeys(SERVED, fault)))

    assert [list(own) for own in found] == [list(other) for other in plain]
    for own, other in zip(found, plain, strict=True):
        assert own == pytest.approx(other, abs=1e-3)


def test_no_number_is_never_an_answer(tiny_archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = jit.load(folder / layout.GPU_MODULE)
    fault = Fault("no number", first=5)
    found = bodies(tiny_archive, folder, monkeypatch, FakeCuda(half, replaying=dict.fromkeys(SERVED, fault)))

    failed = [body for body in found if "code" in body]
    assert len(failed) > 0
    assert {(body["code"], body["type"]) for body in failed} == {(503, "PredictionFailed")}


def test_the_handler_ends_where_its_gpu_is_lost(
    tiny_archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = jit.load(folder / layout.GPU_MODULE)
    cuda = FakeCuda(half, graphs_at_all=False, dies_at_run=3)
    with pytest.raises(SystemExit, match="cuda:0 answers nothing any more: CUDA error"):
        bodies(tiny_archive, folder, monkeypatch, cuda)


# --- the proof itself --------------------------------------------------------------------------------------------


def test_rounding_in_sixteen_bits_is_no_disagreement_and_more_is() -> None:
    plain = torch.tensor([[8.0, 1.0, -2.0]])

    assert disagreement(plain + 0.01, plain, "fp16") is None
    assert disagreement(plain.half().float(), plain, "fp16") is None
    assert "off" in (disagreement(plain + 0.2, plain, "fp16") or "")
    assert disagreement(plain + 0.2, plain, "bf16") is None
    assert disagreement(plain * float("nan"), plain, "fp16") is not None
    assert disagreement(plain, plain * float("nan"), "fp16") is not None


@given(texts=st.integers(1, 32), length=st.integers(1, 64), seed=st.integers(0, 9))
def test_proofs_fit_their_bucket_and_use_all_of_it(texts: int, length: int, seed: int) -> None:
    for ids, mask in (golden_batch(GOLDEN, (texts, length)), chance_batch(GOLDEN, (texts, length), seed)):
        assert ids.shape == mask.shape
        assert ids.size(0) == texts
        assert ids.size(1) <= length
        assert mask[:, 0].all()
        assert not (ids * (1 - mask)).any()
    assert mask.sum(1).max() == length
