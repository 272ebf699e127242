"""What every way of exporting a student takes, and what it gives back to be proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from marwright.logits import Module


@dataclass(frozen=True)
class Source:
    """A student and what is wanted of it."""

    checkpoint: Path
    """A Hugging Face checkpoint in float32."""
    weights: Path
    """The same in the CPU's precision, as the compression wrote it."""
    precision: Literal["int8", "fp32"]
    method: Literal["script", "trace"]
    example: tuple[Tensor, Tensor]
    """Ids and attention mask, (batch, length) int64 each."""
    max_length: int
    """Tokens of the longest text."""
    calibration: Sequence[tuple[Tensor, Tensor]]
    """The same of train rows, one text each and all of one length: they show what values activations take."""


@dataclass(frozen=True)
class Exported:
    """A module that has been written, and the modules that say what it should answer."""

    unquantized: Module
    """By the same way, but in float32: it must answer as the checkpoint does."""
    written: Module
    """The file, loaded again."""
    eager: Module | None
    """What the file must answer as; none if only the runtime computes in this precision."""
    module: str
    """The class it was made from."""
    method: str
    """How it was made."""
    needs: Mapping[str, Any] = field(default_factory=dict)
    """What the runtime must find on the machine that serves it, as its ``load`` in the handler reads it."""


Exporter = Callable[[Source, Path], Exported]
"""Writes the module of a source into a file."""
