"""Runs a TorchScript module, on a CPU or on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


class TorchScriptRuntime:
    """A module loaded with `torch.jit.load`."""

    def __init__(self, module: torch.jit.ScriptModule, device: torch.device) -> None:
        self.module = module
        self.device = device

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Answer int64 ids and mask, (texts, longest) on the CPU; the result is on the device."""
        logits: torch.Tensor = self.module(ids.to(self.device), mask.to(self.device))
        return logits


def load(file: Path, settings: dict[str, Any], device: torch.device) -> TorchScriptRuntime:
    """Load a module; `needs_vnni` says that its int8 kernels overflow on processors without those instructions.

    Raises:
        RuntimeError: this processor cannot run it.
    """
    if settings.get("needs_vnni") and not torch.cpu._is_vnni_supported():
        raise RuntimeError(
            "This archive's module needs a processor with AVX-512 VNNI instructions: rebuild it with "
            "compression.activations: dynamic."
        )
    if device.type == "cuda":
        # Or it would compile kernels for the first shapes, and clients would wait for them.
        torch.jit.set_fusion_strategy([])
    module = torch.jit.load(str(file), map_location=device)  # type: ignore[no-untyped-call]
    return TorchScriptRuntime(module.eval(), device)
