"""What executes an exported module: one file for each runtime. A new one joins the list below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marwright.runtimes.aotinductor import AotInductor
from marwright.runtimes.onnxruntime import OnnxRuntime
from marwright.runtimes.runtime import Exported, Runtime, Source, TritonBackend, Wishes
from marwright.runtimes.torchscript import TorchScript

if TYPE_CHECKING:
    from marwright.runtimes.runtime import Module

RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for runtime in (TorchScript(), OnnxRuntime(), AotInductor())}


def load(file: Path) -> Module:
    """A module for CPUs by whichever runtime it was made for, on as many threads as torch has now."""
    return next(runtime for runtime in RUNTIMES.values() if Path(runtime.module_file).suffix == file.suffix).load(file)


__all__ = ["RUNTIMES", "Exported", "Runtime", "Source", "TritonBackend", "Wishes", "load"]
