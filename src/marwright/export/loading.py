"""Loads an exported module by whichever runtime it was made for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from marwright.export import aotinductor_module, onnx_module, torchscript
from marwright.logits import Module

LOADERS: dict[str, Callable[[Path], Module]] = {
    ".pt": torchscript.load,
    ".onnx": onnx_module.load,
    ".pt2": aotinductor_module.load,
}


def load(file: Path) -> Module:
    """A module for CPUs, called with ids and attention mask, on as many threads as torch has now."""
    return LOADERS[file.suffix](file)
