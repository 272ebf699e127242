"""Buckets for CUDA graphs: how they are chosen, which one a batch takes, and what comes out of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from batch_buckets import Bucket, Buckets, Staging
from cuda_device import Replay
from cuda_graph_runtime import CudaGraphRuntime
from encoder_cases import batch_of
from fake_cuda import FakeCuda
from graph_recording import record_all
from marwright.archive.graph_buckets import graph_buckets
from marwright.config import GpuServingConfig
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.encoder.padded import PaddedLayout
from tiny_models import save_tiny_classifier

CPU = torch.device("cpu")


# --- choosing ----------------------------------------------------------------------------------------------------


def test_one_text_has_the_lengths_of_the_train_rows_percentiles() -> None:
    lengths = {5: 50, 12: 40, 30: 9, 60: 1}

    assert graph_buckets(lengths, batch_size=1, longest=512) == [(1, 8), (1, 16), (1, 32), (1, 64)]


def test_a_large_batch_has_no_bucket_for_short_texts_alone() -> None:
    lengths = {5: 50, 12: 40, 30: 9, 60: 1}
    of_32 = [length for texts, length in graph_buckets(lengths, batch_size=32, longest=512) if texts == 32]

    # All of 32 texts have up to 30 tokens with a probability of 0.72, up to 12 with one of 0.03.
    assert of_32 == [32, 64]


def test_texts_are_powers_of_two_up_to_the_batch_and_lengths_what_the_module_can_take() -> None:
    found = graph_buckets({3: 1, 57: 1}, batch_size=20, longest=60)

    assert sorted({texts for texts, _ in found}) == [1, 2, 4, 8, 16, 32]
    assert max(length for _, length in found) == 60


def test_a_gpu_is_named_once() -> None:
    with pytest.raises(ValidationError, match="named twice"):
        GpuServingConfig(device_ids=(0, 1, 0))


# --- taking one --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "bucket"),
    [
        ((1, 3), (1, 8)),
        ((1, 8), (1, 8)),
        ((1, 9), (1, 32)),
        ((2, 8), (4, 8)),
        ((3, 9), (4, 16)),
        ((4, 17), None),
        ((5, 8), None),
    ],
)
def test_a_batch_takes_the_cheapest_bucket_that_holds_it(batch: Bucket, bucket: Bucket | None) -> None:
    assert Buckets([(4, 16), (1, 32), (1, 8), (4, 8)]).fitting(*batch) == bucket


def test_a_bucket_holds_nothing_of_the_batch_before() -> None:
    staging = Staging([(4, 8), (2, 16)], CPU)
    staging.send((4, 8), torch.full((4, 8), 9), torch.ones(4, 8, dtype=torch.int64))
    ids, mask = staging.send((4, 8), torch.full((2, 3), 5), torch.ones(2, 3, dtype=torch.int64))

    assert ids.tolist() == [[5, 5, 5, 0, 0, 0, 0, 0]] * 2 + [[0] * 8] * 2
    # A text that only fills up has a token, or attention would have nothing to divide by.
    assert mask.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]] * 2 + [[1] + [0] * 7] * 2


def test_a_bucket_lies_always_in_the_same_place() -> None:
    staging = Staging([(4, 8), (2, 16)], CPU)
    one = torch.ones(1, 1, dtype=torch.int64)

    assert staging.send((4, 8), one, one).data_ptr() == staging.send((4, 8), one, one).data_ptr()


# --- answering; a graph's replay is played by the module itself ---------------------------------------------------


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    packed = load_module(save_tiny_classifier(tmp_path_factory.mktemp("bert"), "bert"), "script")
    assert isinstance(packed, Encoder)
    return packed.laid_out(PaddedLayout())


def runtime_of(module: Encoder, buckets: list[Bucket], replayed: list[Bucket]) -> CudaGraphRuntime:
    def record(batch: torch.Tensor) -> Replay:
        def replay() -> torch.Tensor:
            replayed.append((batch.size(1), batch.size(2)))
            logits: torch.Tensor = module(batch[0], batch[1])
            return logits

        return replay

    staging = Staging(buckets, CPU)
    return CudaGraphRuntime(module, FakeCuda(module), "fp16", staging, record_all(record, staging, buckets))


@torch.inference_mode()
def test_batches_in_and_outside_of_buckets_get_the_modules_own_answers(module: Encoder) -> None:
    replayed: list[Bucket] = []
    runtime = runtime_of(module, [(1, 8), (1, 16), (4, 16)], replayed)

    for lengths in ((5,), (9,), (3, 16, 1), (2, 2, 2, 2), (17,), (1, 1, 1, 1, 1)):
        ids, mask = batch_of(lengths)
        torch.testing.assert_close(runtime.logits(ids, mask), module(ids, mask), atol=1e-5, rtol=0)
    assert replayed == [(1, 8), (1, 16), (4, 16), (4, 16)]


# --- recording ---------------------------------------------------------------------------------------------------


def recorded(outcomes: dict[Bucket, Exception | None]) -> tuple[list[Bucket], list[Bucket]]:
    """Buckets in the order in which they are tried, and those that are recorded."""
    tried = []

    def record(batch: torch.Tensor) -> Replay | None:
        bucket = (batch.size(1), batch.size(2))
        tried.append(bucket)
        assert batch[1, :, 0].all()
        if bucket in outcomes:
            if (error := outcomes[bucket]) is not None:
                raise error
            return None
        return lambda: batch

    buckets = [(1, 8), (4, 8), (4, 32), (1, 32)]
    return tried, list(record_all(record, Staging(buckets, CPU), buckets))


def test_the_largest_bucket_is_recorded_first() -> None:
    tried, found = recorded({})

    assert tried == found == [(4, 32), (4, 8), (1, 32), (1, 8)]


def while_ending_the_recording(error: Exception) -> RuntimeError:
    """What PyTorch raises for an error in a recording."""
    ending = RuntimeError("operation failed due to a previous error during capture")
    ending.__context__ = error
    return ending


@pytest.mark.parametrize(
    "outcome",
    [None, torch.cuda.OutOfMemoryError(), while_ending_the_recording(torch.cuda.OutOfMemoryError())],
    ids=["over the budget", "no memory", "no memory while recording"],
)
def test_a_bucket_without_room_is_left_out_and_smaller_ones_are_tried(outcome: Exception | None) -> None:
    assert recorded({(4, 32): outcome})[1] == [(4, 8), (1, 32), (1, 8)]


def test_a_recording_that_fails_is_the_last_one_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    error = RuntimeError("operation not permitted when stream is capturing\nlong trace")
    tried, found = recorded({(4, 8): while_ending_the_recording(error)})

    assert tried == [(4, 32), (4, 8)]
    assert found == [(4, 32)]
    (line,) = [entry.getMessage() for entry in caplog.records]
    assert "4 texts × 8 tokens: operation not permitted" in line
    assert "trace" not in line


# --- in an archive -----------------------------------------------------------------------------------------------


def test_an_archive_carries_its_buckets(tiny_archive: Path) -> None:
    with zipfile.ZipFile(tiny_archive) as archive:
        module = json.loads(archive.read("setup_config.json"))["modules"]["cuda"]

    assert module["file"] == "model_gpu.pt"
    assert module["graph_megabytes"] == 512
    assert all(row[0] == 2 for row in module["golden_ids"])  # [CLS]
    assert [1, 16] in module["buckets"]
    assert {texts for texts, _ in module["buckets"]} == {1, 2, 4, 8, 16, 32}
    assert max(length for _, length in module["buckets"]) <= 32
