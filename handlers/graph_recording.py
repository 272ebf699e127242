"""Records a module as CUDA graphs, one for each bucket that has room."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from batch_buckets import Bucket, Staging
from cuda_device import CudaDevice, Module, Replay
from prediction_failure import is_out_of_memory

logger = logging.getLogger(__name__)

# Libraries load their kernels in the first runs, and must not while a graph is recorded.
WARM_UP_RUNS = 3


class Recorder:
    """Records graphs that share their memory: one is replayed at a time, and none reads what another left."""

    def __init__(self, module: Module, cuda: CudaDevice, most_bytes: int) -> None:
        self.module = module
        self.most_bytes = most_bytes
        self._cuda = cuda
        self._graphs = cuda.graphs()
        self._before = cuda.reserved_bytes()

    def used_bytes(self) -> int:
        """What the graphs keep of the device's memory for themselves; without what the driver needs to hold them."""
        return max(0, self._cuda.reserved_bytes() - self._before)

    @torch.inference_mode()
    def record(self, batch: torch.Tensor) -> Replay | None:
        """Record the module on a bucket, (2, texts, length) ids and mask on the device; none if it needs too much.

        Raises:
            RuntimeError: the device has no memory left, or the module does what cannot be recorded.
        """

        def run() -> torch.Tensor:
            return self.module(batch[0], batch[1])

        replay = None
        with self._graphs.stream():
            for _ in range(WARM_UP_RUNS):
                run()
            if self._cuda.height_bytes(run) <= self.most_bytes:
                replay = self._graphs.recorded(run)
        # Beside larger ones it may take more than it needs by itself; given up here, its memory serves the next one.
        if replay is None or self.used_bytes() > self.most_bytes:
            return None
        # Its kernels go to the device now and not with the first request, and a graph that cannot run is found out.
        replay()
        self._cuda.wait()
        return replay


def record_all(
    record: Callable[[torch.Tensor], Replay | None], staging: Staging, buckets: list[Bucket]
) -> dict[Bucket, Replay]:
    """Record what can be recorded of some buckets, the largest first, so that smaller ones find room in their memory.

    A bucket that is too large is left out; what fails otherwise ends the recording, with a line in the log.
    """
    replays: dict[Bucket, Replay] = {}
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    with _nothing_collected():
        for bucket in sorted(buckets, key=lambda bucket: bucket[0] * bucket[1], reverse=True):
            try:
                replay = record(staging.send(bucket, nothing, nothing + 1))
            # Whatever it is, a worker without graphs is better than none.
            except Exception as error:
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


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the garbage collector from dropping a graph in the middle of another one's recording."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
