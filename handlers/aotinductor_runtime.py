"""Runs a module that AOTInductor compiled to machine code, on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

# Larger batches are cut: what lies between two layers then stays in the core's cache, and short texts are not padded
# to the length of a long one.
MOST_PLACES = 512


class AotInductorRuntime:
    """A compiled module, on one thread."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Answer int64 ids and mask, (texts, longest)."""
        if ids.size(0) == 1 or ids.numel() <= MOST_PLACES:
            return self._run(ids, mask)
        lengths, order = mask.sum(1).sort()
        pieces = [
            self._run(ids[rows, :longest], mask[rows, :longest])
            for rows, longest in _within_budget(order, lengths.tolist())
        ]
        logits = torch.cat(pieces)
        return torch.empty_like(logits).index_copy_(0, order, logits)

    def _run(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if ids.size(1) == 1:  # compiled for two tokens and more, as every tokenizer with special tokens makes them
            ids, mask = torch.nn.functional.pad(ids, [0, 1]), torch.nn.functional.pad(mask, [0, 1])
        logits: torch.Tensor = self.module(ids.contiguous(), mask.contiguous())
        return logits


def load(file: Path, settings: dict[str, Any], device: torch.device) -> AotInductorRuntime:
    """Load a module.

    Of its settings `needs_avx512` and `needs_vnni` name instructions of the processor, `needs_torch` the version that
    the module calls into.

    Raises:
        RuntimeError: this machine cannot run it.
    """
    installed = torch.__version__.partition("+")[0]
    if installed != settings["needs_torch"]:
        raise RuntimeError(
            f"This archive's module was compiled for torch {settings['needs_torch']}, and {installed} is installed: "
            "install that one, or rebuild the archive."
        )
    supported = {"avx512": torch.cpu._is_avx512_supported, "vnni": torch.cpu._is_vnni_supported}
    for instructions, is_supported in supported.items():
        if settings[f"needs_{instructions}"] and not is_supported():
            raise RuntimeError(
                f"This archive's module needs a processor with {instructions.upper()} instructions: rebuild it on a "
                "machine like this one, or with export.runtime: torchscript."
            )
    return AotInductorRuntime(torch._inductor.aoti_load_package(str(file)))


def _within_budget(order: torch.Tensor, lengths: list[int]) -> list[tuple[torch.Tensor, int]]:
    """Cut texts, short ones first, into runs that padded fill at most so many places; with the longest of each."""
    runs = []
    start = 0
    for text, length in enumerate(lengths):
        if text > start and (text + 1 - start) * length > MOST_PLACES:
            runs.append((order[start:text], lengths[text - 1]))
            start = text
    runs.append((order[start:], lengths[-1]))
    return runs
