"""Runs a TorchScript module on a GPU by replaying CUDA graphs that were recorded when it was loaded.

A GPU is done with a small batch's kernels sooner than Python and TorchScript start them; a graph starts them all at
once. One is recorded for each bucket, a shape of batch in the archive's settings. Other batches, and those whose
graph would need more memory than it may, run kernel by kernel.
"""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from batch_buckets import Bucket, Buckets, Staging
from prediction_failure import is_out_of_memory

logger = logging.getLogger(__name__)

# Libraries load their kernels in the first runs, and must not while a graph is recorded.
WARM_UP_RUNS = 3

Replay = Callable[[], torch.Tensor]
"""Computes the logits of what lies in a bucket now: (texts, labels) on the device, in the same place each time."""


class CudaGraphRuntime:
    """A module, and the buckets that can be replayed."""

    def __init__(
        self,
        module: torch.nn.Module,
        device: torch.device,
        staging: Staging,
        replays: dict[Bucket, Replay],
        graph_bytes: int,
    ) -> None:
        self.module = module
        self.device = device
        self.staging = staging
        self.replays = replays
        self.graph_bytes = graph_bytes
        self.buckets = Buckets(list(replays))

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Answer int64 ids and mask, (texts, longest) on the CPU.

        The result is on the device. It must be read before the next call, which computes in the same place.
        """
        texts = ids.size(0)
        bucket = self.buckets.fitting(texts, ids.size(1))
        if bucket is None:
            batch = torch.stack((ids, mask)).to(self.device)
            logits: torch.Tensor = self.module(batch[0], batch[1])
            return logits
        self.staging.send(bucket, ids, mask)
        return self.replays[bucket]()[:texts]


class Recorder:
    """Records graphs that share their memory: one is replayed at a time, and none reads what another left."""

    def __init__(self, module: torch.nn.Module, device: torch.device, most_bytes: int) -> None:
        self.module = module
        self.device = device
        self.most_bytes = most_bytes
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.empty_cache()
        self._before = torch.cuda.memory_reserved(device)

    def used_bytes(self) -> int:
        """What the graphs keep of the device's memory for themselves; without what the driver needs to hold them."""
        torch.cuda.empty_cache()
        return max(0, torch.cuda.memory_reserved(self.device) - self._before)

    @torch.inference_mode()
    def record(self, batch: torch.Tensor) -> Replay | None:
        """Record the module on a bucket, (2, texts, length) ids and mask on the device; none if it needs too much.

        Raises:
            RuntimeError: the device has no memory left, or the module does what cannot be recorded.
        """
        self._stream.wait_stream(torch.cuda.current_stream())
        # This block gives the stream back where recording fails; PyTorch's own then does not.
        with torch.cuda.stream(self._stream):
            replay = self._recorded(batch) if self._needed(batch) <= self.most_bytes else None
        torch.cuda.current_stream().wait_stream(self._stream)
        # Beside larger ones it may take more than it needs by itself; given up here, its memory serves the next one.
        if replay is None or self.used_bytes() > self.most_bytes:
            return None
        # Its kernels go to the device now and not with the first request, and a graph that cannot run is found out.
        replay()
        torch.cuda.synchronize(self.device)
        return replay

    def _recorded(self, batch: torch.Tensor) -> Replay:
        graph = torch.cuda.CUDAGraph()
        recording = torch.cuda.graph(graph, pool=self._pool, stream=self._stream)
        with _workspace_in_the_pool(), self._pool_given_back(), recording:
            logits = self.module(batch[0], batch[1])

        def replay() -> torch.Tensor:
            graph.replay()
            return logits

        return replay

    @contextmanager
    def _pool_given_back(self) -> Iterator[None]:
        """See that a recording that failed has ended for the allocator too, which some versions of PyTorch forget."""
        try:
            yield
        except RuntimeError:
            with suppress(RuntimeError):
                torch._C._cuda_endAllocateToPool(self.device.index, self._pool)
            raise

    def _needed(self, batch: torch.Tensor) -> int:
        """Warm up, and see how much memory a run takes at its height, in bytes."""
        for _ in range(WARM_UP_RUNS):
            self.module(batch[0], batch[1])
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self.module(batch[0], batch[1])
        return torch.cuda.max_memory_allocated(self.device) - before


@contextmanager
def _workspace_in_the_pool() -> Iterator[None]:
    """Have cuBLAS take the workspace of a recording from the graphs' own memory.

    It would keep the one of the warm-up, which PyTorch frees for all streams when another graph is dropped or
    torch.compile records one: the kernels of this graph would then write where nothing is theirs.
    """
    torch._C._cuda_clearCublasWorkspaces()
    try:
        yield
    finally:
        torch._C._cuda_clearCublasWorkspaces()


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the garbage collector from dropping a graph in the middle of another one's recording."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def record_all(
    record: Callable[[torch.Tensor], Replay | None], staging: Staging, buckets: list[Bucket]
) -> dict[Bucket, Replay]:
    """Record what can be recorded of some buckets, the largest first, so that smaller ones find room in their memory.

    A bucket that is too large is left out; what fails otherwise ends the recording, with a line in the log.
    """
    replays: dict[Bucket, Replay] = {}
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    for bucket in sorted(buckets, key=lambda bucket: bucket[0] * bucket[1], reverse=True):
        try:
            replay = record(staging.send(bucket, nothing, nothing + 1))
        except RuntimeError as error:
            # While it ends a recording that has failed, PyTorch raises another error than the one that failed.
            failed = error.__context__ or error
            if is_out_of_memory(error) or is_out_of_memory(failed):
                continue
            reason = str(failed).partition("\n")[0]
            logger.warning("CUDA graphs: recording ended at %d texts × %d tokens: %s", *bucket, reason)
            break
        if replay is not None:
            replays[bucket] = replay
    return replays


@torch.inference_mode()
def _run_once(module: torch.nn.Module, staging: Staging, bucket: Bucket) -> None:
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    ids, mask = staging.send(bucket, nothing, nothing + 1)
    module(ids, mask)


def load(file: Path, settings: dict[str, Any], device: torch.device) -> CudaGraphRuntime:
    """Load a module onto a GPU and record its graphs.

    Args:
        file: the module, with static shapes.
        settings: ``buckets`` are pairs of texts and tokens; ``graph_megabytes`` bounds the memory of their graphs;
            ``precision`` is fp16 or bf16.
        device: the worker's GPU.

    Raises:
        RuntimeError: this GPU cannot compute in that precision, or has no room for the module.
    """
    torch.cuda.set_device(device)
    if settings["precision"] == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise RuntimeError("This archive's module is bf16, which this GPU cannot compute: rebuild it with gpu: fp16.")
    # TorchScript would watch the first runs of each shape and compile anew in later ones, in the middle of a recording.
    # Without specialisations it optimises once; a graph has nothing to gain from more.
    torch.jit.set_fusion_strategy([])
    # cuDNN's attention, which PyTorch prefers on Hopper, is planned anew for each shape, in tenths of a second; the
    # next best has kernels for all of them.
    torch.backends.cuda.enable_cudnn_sdp(False)
    module = torch.jit.load(str(file), map_location=device).eval()
    buckets = [(texts, length) for texts, length in settings["buckets"]]
    staging = Staging(buckets, device)
    recorder = Recorder(module, device, settings["graph_megabytes"] << 20)
    with _nothing_collected():
        replays = record_all(recorder.record, staging, buckets)
    if buckets:
        # What fits into no bucket runs on this stream, which has kernels and workspaces when it has been used.
        _run_once(module, staging, min(buckets))
    used, most = recorder.used_bytes(), settings["graph_megabytes"]
    logger.info("CUDA graphs: %d of %d recorded, in %d of %d MB", len(replays), len(buckets), used >> 20, most)
    return CudaGraphRuntime(module, device, staging, replays, used)
