"""What a task writes: how one instance is read, and how many are answered at once.

A child class has `prepare` and `predict`, and `setup` where it loads something. The Model brings the rest: the module
for the device, warm-up, parsing, one answer per request whatever its neighbours are, and metrics.

TorchServe asks a handler for `initialize` and `handle` alone, and nothing of its own base class would be used. So a
child can be imported, and its archive loaded, where TorchServe is not installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch


class ResilientHandler(ABC):
    """The task that a Model answers for; in TorchServe also the door through which requests come."""

    folder: Path
    """The unpacked archive."""
    settings: dict[str, Any]
    """Its `setup_config.json`."""
    manifest: Any
    mapping: dict[str, str]
    """Its `index_to_name.json`; empty if it has none."""
    device: torch.device
    runtime: Any
    """The module: `runtime.logits(ids, mask)`."""
    _metrics: Any

    def setup(self) -> None:  # noqa: B027 (a task may have nothing to load)
        """Load what the task needs from `self.folder`; the module is already in `self.runtime`."""

    @abstractmethod
    def prepare(self, instance: dict[str, Any]) -> Any:
        """Check one instance and return what `predict` takes. Raises `BadRequest` if it cannot be answered."""

    @abstractmethod
    def predict(self, examples: list[Any]) -> list[Any]:
        """Answer prepared instances, from any number of requests, with one JSON value each."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Add the time of a block to a phase of the batch, in milliseconds."""
        phase: AbstractContextManager[None] = self._metrics.phase(name)
        return phase

    def count(self, name: str, value: float, label: str = "") -> None:
        """Add to a counter of the batch, or to that of a label."""
        self._metrics.count(name, value, label)

    # --- for TorchServe ----------------------------------------------------------------------------------------

    def initialize(self, context: Any) -> None:
        """Load everything and warm up; TorchServe calls this once before the worker is READY."""
        from torchserve_host import TorchServeHost

        self._host = TorchServeHost(self, context)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Answer a batch: one body per request, in order, each with its own status.

        Raises:
            RefusedBatch: all came over gRPC and none has an answer, which is how their clients see it.
        """
        return self._host.handle(data, context)
