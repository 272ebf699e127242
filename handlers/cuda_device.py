"""What the runtime for GPUs asks of its device, in one object, so that a test can put another in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

Module = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Ids and mask on the device, (texts, tokens) each, to logits, (texts, labels)."""

Replay = Callable[[], torch.Tensor]
"""Computes the logits of what lies in a bucket now: (texts, labels) on the device, in the same place each time."""


class CudaDevice:
    """A GPU as this process has it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def take(self) -> None:
        """Make it the current one, and have PyTorch and TorchScript compute there without planning by shapes."""
        torch.cuda.set_device(self.device)
        # TorchScript would watch the first runs of each shape and compile anew in later ones, in the middle of a
        # recording. Without specialisations it optimises once; a graph has nothing to gain from more.
        torch.jit.set_fusion_strategy([])
        # cuDNN's attention, which PyTorch prefers on Hopper, is planned anew for each shape, in tenths of a second; the
        # next best has kernels for all of them.
        torch.backends.cuda.enable_cudnn_sdp(False)

    def computes_bfloat16(self) -> bool:
        """Whether in hardware."""
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))

    def load(self, file: Path) -> Module:
        """Load a TorchScript module."""
        module: Module = torch.jit.load(str(file), map_location=self.device).eval()  # type: ignore[no-untyped-call]
        return module

    def wait(self) -> None:
        """Return when everything that was started is done; raises what failed of it."""
        torch.cuda.synchronize(self.device)

    def recover(self) -> None:
        """After a failure: give back what the allocator keeps, or end this process if nothing can help it.

        After some errors, such as an illegal access, a GPU answers a process nothing any more. TorchServe starts
        another worker in its place.

        Raises:
            SystemExit: this is such an error.
        """
        try:
            self.wait()
            torch.cuda.empty_cache()
        except RuntimeError as error:
            raise SystemExit(f"{self.device} answers nothing any more: {error}") from None

    def reserved_bytes(self) -> int:
        """What this process has of the device's memory, without what it could give back, which it does."""
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved(self.device)

    def height_bytes(self, run: Callable[[], object]) -> int:
        """How much more memory a run takes at its height."""
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        run()
        return torch.cuda.max_memory_allocated(self.device) - before

    def graphs(self) -> Graphs:
        """A place for graphs."""
        return Graphs(self.device)


class Graphs:
    """A stream on which graphs are recorded, and the memory that they share."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool: Any = torch.cuda.graph_pool_handle()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Work on the stream of the recordings, after what was started before and before what is started later."""
        self._stream.wait_stream(torch.cuda.current_stream())
        # This block gives the stream back where recording fails; PyTorch's own then does not.
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream().wait_stream(self._stream)

    def recorded(self, run: Callable[[], torch.Tensor]) -> Replay:
        """Record a run, on the stream.

        Raises:
            RuntimeError: the device has no memory left, or the run does what cannot be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        recording = torch.cuda.graph(graph, pool=self._pool, stream=self._stream)
        with _workspace_in_the_pool(), self._pool_given_back(), recording:
            logits = run()

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
                torch._C._cuda_endAllocateToPool(self._device.index, self._pool)
            raise


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
