"""A device without memory for a batch: it is split, and what does not fit alone is answered with a 503 of its own."""

from __future__ import annotations

import json
import logging
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gpu.archived import Archived, importable, loaded
from marwright.mar.reading import unpacked

TEXTS = ["of the tea", "and of the", "tea and tea", "the of", "and and"]


class Scarce:
    """Runs the archive's own runtime, if the batch is not too large for the memory it pretends to have."""

    def __init__(self, runtime: Any, most: int) -> None:
        self.runtime, self.most = runtime, most
        self.sizes: list[int] = []
        self.held: list[weakref.ref[torch.Tensor]] = []
        self.held_while_retrying: list[bool] = []

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.held_while_retrying.append(any(one() is not None for one in self.held))
        self.sizes.append(ids.size(0))
        if ids.size(0) > self.most:
            activations = torch.zeros(ids.size(0), 1000)
            self.held.append(weakref.ref(activations))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        logits: torch.Tensor = self.runtime.logits(ids, mask)
        return logits


@pytest.fixture(scope="module")
def folder(tiny_archive: Path) -> Iterator[Path]:
    with unpacked(tiny_archive) as unpacked_folder, importable(unpacked_folder):
        yield unpacked_folder


@pytest.fixture
def archived(tiny_archive: Path, folder: Path) -> Iterator[Archived]:
    threads = torch.get_num_threads()
    yield loaded(tiny_archive, folder, None)
    torch.set_num_threads(threads)


def answers(archived: Archived, texts: list[str] = TEXTS) -> list[Any]:
    return [json.loads(body) for body in archived.answer(texts)]


def test_a_batch_that_does_not_fit_is_split_until_it_does(archived: Archived) -> None:
    expected = answers(archived)
    scarce = Scarce(archived.handler.runtime, 2)
    archived.handler.runtime = scarce

    found = answers(archived)
    assert [list(one) for one in found] == [list(one) for one in expected]
    assert scarce.sizes == [5, 2, 3, 1, 2]
    # What a failed run had in hand is free before the next one asks for memory.
    assert not any(scarce.held_while_retrying)


def test_what_does_not_fit_alone_gets_a_503_that_says_why_and_the_next_batch_its_answers(archived: Archived) -> None:
    runtime = archived.handler.runtime
    archived.handler.runtime = Scarce(runtime, 0)
    refused = answers(archived)

    assert [(one["code"], one["type"]) for one in refused] == [(503, "OutOfMemory")] * len(TEXTS)
    assert "GiB" not in refused[0]["message"]
    statuses = [archived._context.get_response_status(index)[0] for index in range(len(TEXTS))]
    assert statuses == [503] * len(TEXTS)
    archived.handler.runtime = runtime
    assert all("code" not in one for one in answers(archived))


@pytest.mark.parametrize(
    "said", ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"]
)
def test_the_drivers_and_cublas_lack_of_memory_is_one(archived: Archived, said: str) -> None:
    class Crowded:
        def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(said)

    archived.handler.runtime = Crowded()
    assert [one["type"] for one in answers(archived)] == ["OutOfMemory"] * len(TEXTS)


def test_another_failure_is_no_lack_of_memory(archived: Archived) -> None:
    class Broken:
        def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no kernel for tea")

    archived.handler.runtime = Broken()
    assert [one["type"] for one in answers(archived)] == ["PredictionFailed"] * len(TEXTS)


def test_a_worker_whose_gpu_is_lost_to_it_ends_so_that_another_can_start(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    archived.handler.runtime = Scarce(archived.handler.runtime, 0)
    archived.handler.device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    with pytest.raises(SystemExit, match="cuda:0 answers nothing any more: CUDA error"):
        archived.answer(TEXTS)


def test_warm_up_goes_on_with_the_batches_that_fit(archived: Archived, caplog: pytest.LogCaptureFixture) -> None:
    scarce = Scarce(archived.handler.runtime, 4)
    archived.handler.runtime = scarce
    with caplog.at_level(logging.WARNING):
        archived.handler._host.model.warm_up(16)

    assert max(size for size in scarce.sizes if size <= 4) == 4
    # The full batch, and once more the first that is too large; none of those between.
    assert [size for size in scarce.sizes if size > 4] == [16, 5]
    assert "no memory for 16 texts" in caplog.text


def test_a_worker_that_cannot_answer_a_single_text_does_not_start(archived: Archived) -> None:
    archived.handler.runtime = Scarce(archived.handler.runtime, 0)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        archived.handler._host.model.warm_up(16)
