"""A GPU that is played on the CPU: it records and replays, and fails where it is told to."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from batch_buckets import Bucket
from cuda_device import CudaDevice, Module, Replay

NO_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB"
REFUSED = "operation not permitted when stream is capturing"
DEAD = "CUDA error: an illegal memory access was encountered"

Kind = Literal["wrong", "stale", "no number", "no memory", "refused", "dies"]


@dataclass(frozen=True)
class Fault:
    """What a graph does wrong, in which of its replays; those of the load count, from 1."""

    kind: Kind
    first: int = 1
    last: int = sys.maxsize


class FakeCuda(CudaDevice):
    """What the runtime asks of a GPU, answered by a module on the CPU.

    Args:
        module: what computes.
        recording: what goes wrong while some buckets are recorded.
        replaying: what goes wrong later.
        graphs_at_all: whether the driver has any.
        dies_at_run: of the module itself, from 1; replays are none.
        most_texts: of a plain run; there is no memory for more.
    """

    def __init__(
        self,
        module: Module,
        recording: Mapping[Bucket, Kind] | None = None,
        replaying: Mapping[Bucket, Fault] | None = None,
        *,
        graphs_at_all: bool = True,
        dies_at_run: int = sys.maxsize,
        most_texts: int = sys.maxsize,
    ) -> None:
        super().__init__(torch.device("cpu"))
        self.module = module
        self.recording = recording or {}
        self.replaying = replaying or {}
        self.graphs_at_all = graphs_at_all
        self.dies_at_run = dies_at_run
        self.most_texts = most_texts
        self.dead = False
        self.runs: list[Bucket] = []
        self.replays: Counter[Bucket] = Counter()

    def take(self) -> None:
        """It is the only one."""

    def computes_bfloat16(self) -> bool:
        return True

    def load(self, file: Path) -> Module:
        return self.run

    def run(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.runs.append((ids.size(0), ids.size(1)))
        self.dead |= len(self.runs) >= self.dies_at_run
        self.wait()
        if ids.size(0) > self.most_texts:
            raise torch.cuda.OutOfMemoryError(NO_MEMORY)
        return self.module(ids, mask)

    def wait(self) -> None:
        if self.dead:
            raise RuntimeError(DEAD)

    def fail(self, kind: Kind) -> None:
        """Raise what a GPU raises."""
        self.dead |= kind == "dies"
        self.wait()
        if kind == "no memory":
            raise torch.cuda.OutOfMemoryError(NO_MEMORY)
        if kind == "refused":
            raise RuntimeError(REFUSED)

    def reserved_bytes(self) -> int:
        self.wait()
        return 0

    def height_bytes(self, run: Callable[[], object]) -> int:
        run()
        return 1

    def graphs(self) -> FakeGraphs:  # type: ignore[override]
        if not self.graphs_at_all:
            raise RuntimeError("CUDA driver version is insufficient")
        return FakeGraphs(self)


class FakeGraphs:
    """Records by keeping the run; a replay computes it anew and writes it where it stood before."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    @contextmanager
    def stream(self) -> Iterator[None]:
        yield

    def recorded(self, run: Callable[[], torch.Tensor]) -> Replay:
        logits = run().clone()
        bucket = self._cuda.runs[-1]
        if bucket in self._cuda.recording:
            self._cuda.fail(self._cuda.recording[bucket])

        def replay() -> torch.Tensor:
            self._cuda.wait()
            self._cuda.replays[bucket] += 1
            fault = self._cuda.replaying.get(bucket)
            kind = fault.kind if fault and fault.first <= self._cuda.replays[bucket] <= fault.last else None
            if kind is not None:
                self._cuda.fail(kind)
            if kind == "stale":
                return logits
            logits.copy_(self._plain(run))
            if kind == "wrong":
                logits.copy_(logits.roll(1, dims=1))
            if kind == "no number":
                logits[0] = float("nan")
            return logits

        return replay

    def _plain(self, run: Callable[[], torch.Tensor]) -> torch.Tensor:
        logits = run()
        self._cuda.runs.pop()
        return logits
