"""What only a GPU can show: recorded graphs answer as the module does, without waiting, within their memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tiny_run
from cuda_graph_runtime import CudaGraphRuntime, load
from encoder_cases import batch_of
from gpu.archived import Archived, importable, loaded
from marwright.mar import layout
from marwright.mar.reading import unpacked
from marwright.runtimes import jit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch.cuda.is_available() is false")

GPU = torch.device("cuda", 0)
TEXTS = ["of the tea", "and of the", "tea and tea", "the of", "and and"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose heads have 32 values, as served ones do: for smaller ones PyTorch takes other attention kernels."""
    return tiny_run.packed(tmp_path_factory.mktemp("tiny"), hidden_size=64, num_attention_heads=2)


@pytest.fixture(scope="module")
def folder(archive: Path) -> Iterator[Path]:
    with unpacked(archive) as unpacked_folder, importable(unpacked_folder):
        yield unpacked_folder


@pytest.fixture(scope="module")
def on_the_cpu(folder: Path) -> torch.jit.ScriptModule:
    return jit.load(folder / layout.GPU_MODULE)


def runtime_of(folder: Path, **settings: object) -> CudaGraphRuntime:
    module = json.loads((folder / layout.SETUP).read_text())["modules"]["cuda"]
    return load(folder / layout.GPU_MODULE, module | settings, GPU)


@pytest.fixture(scope="module")
def runtime(folder: Path) -> CudaGraphRuntime:
    return runtime_of(folder)


@torch.inference_mode()
def test_every_bucket_is_recorded_and_answers_as_the_module_does(
    folder: Path, runtime: CudaGraphRuntime, on_the_cpu: torch.jit.ScriptModule
) -> None:
    buckets = json.loads((folder / layout.SETUP).read_text())["modules"]["cuda"]["buckets"]
    assert sorted(runtime.replays) == sorted(map(tuple, buckets))
    # In any order, again and again: the graphs share their memory.
    for seed, lengths in enumerate([(5,), (3, 16, 1), (9,) * 16, (31,), (2, 2), (5,), (7, 1, 12, 30, 4)] * 2):
        ids, mask = batch_of(lengths, seed=seed)
        found = runtime.logits(ids, mask).cpu()
        torch.testing.assert_close(found, runtime.module(ids.to(GPU), mask.to(GPU)).cpu(), atol=5e-3, rtol=0)
        torch.testing.assert_close(found, on_the_cpu(ids, mask), atol=2e-2, rtol=0)


@torch.inference_mode()
def test_graphs_outlive_what_others_do_to_the_workspaces_of_cublas(runtime: CudaGraphRuntime) -> None:
    ids, mask = batch_of((5, 9))
    before = runtime.logits(ids, mask).cpu()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    taken = [torch.full((1 << 20,), 7.0, device=GPU) for _ in range(64)]
    after = [runtime.logits(ids, mask).cpu() for _ in range(10)]

    assert all(torch.equal(one, before) for one in after)
    assert all(bool((one == 7).all()) for one in taken), "a graph has written where nothing is its own"


@torch.inference_mode()
def test_dropped_graphs_take_nothing_of_the_others(
    folder: Path, runtime: CudaGraphRuntime, on_the_cpu: torch.jit.ScriptModule
) -> None:
    few = runtime_of(folder, graph_megabytes=max(1, (runtime.graph_bytes >> 20) - 1))
    assert len(few.replays) < len(runtime.replays)
    for lengths in ((5,), (3, 16, 1), (9,) * 16):
        ids, mask = batch_of(lengths)
        torch.testing.assert_close(few.logits(ids, mask).cpu(), on_the_cpu(ids, mask), atol=2e-2, rtol=0)


@torch.inference_mode()
def test_a_batch_outside_of_every_bucket_is_answered_too(runtime: CudaGraphRuntime) -> None:
    ids, mask = batch_of((3,) * 100)

    assert runtime.buckets.fitting(100, 3) is None
    torch.testing.assert_close(
        runtime.logits(ids, mask).cpu(), runtime.module(ids.to(GPU), mask.to(GPU)).cpu(), atol=5e-3, rtol=0
    )


@torch.inference_mode()
def test_nothing_waits_for_the_device_before_the_answer_is_read(runtime: CudaGraphRuntime) -> None:
    ids, mask = batch_of((5, 9))
    runtime.logits(ids, mask)
    torch.cuda.set_sync_debug_mode("error")
    try:
        logits = runtime.logits(ids, mask)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert logits.cpu().isfinite().all()


@torch.inference_mode()
def test_without_memory_for_graphs_there_are_none_and_the_answers_are_the_same(
    folder: Path, runtime: CudaGraphRuntime
) -> None:
    bare = runtime_of(folder, graph_megabytes=0)
    ids, mask = batch_of((5, 9))

    assert not bare.replays
    torch.testing.assert_close(bare.logits(ids, mask).cpu(), runtime.logits(ids, mask).cpu(), atol=5e-3, rtol=0)


def test_graphs_take_no_more_memory_than_they_may(runtime: CudaGraphRuntime) -> None:
    assert 0 < runtime.graph_bytes <= 512 << 20


def answers(archived: Archived, texts: list[str]) -> list[dict[str, float]]:
    return [json.loads(body) for body in archived.answer(texts)]


def test_the_same_archive_answers_on_both_devices(archive: Path, folder: Path) -> None:
    gpu, cpu = loaded(archive, folder, 0), loaded(archive, folder, None)

    assert gpu.handler.device == GPU
    for own, other in zip(answers(gpu, TEXTS), answers(cpu, TEXTS), strict=True):
        assert own == pytest.approx(other, abs=0.05)


def test_a_worker_survives_a_gpu_without_memory(archive: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    archived = loaded(archive, folder, 0)
    many = TEXTS * 2000
    archived.handler.settings["max_instances"] = len(many)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(GPU) + (8 << 20)) / total, GPU)
    try:
        crowded = answers(archived, many)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, GPU)
    assert len(crowded) == len(many)
    assert "OutOfMemoryError while answering 10000 texts" in caplog.text
    assert all("code" not in one or one["type"] == "OutOfMemory" for one in crowded)
    assert all("code" not in one for one in answers(archived, TEXTS))


def test_a_gpu_without_bfloat16_refuses_such_a_module(folder: Path, tmp_path: Path) -> None:
    if torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU computes bfloat16")
    shutil.copy(folder / layout.GPU_MODULE, tmp_path)
    with pytest.raises(RuntimeError, match="gpu: fp16"):
        load(tmp_path / layout.GPU_MODULE, {"precision": "bf16"}, GPU)
