"""What every runtime answers: its files, what it accepts, how a module is exported for it and loaded again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:  # the configuration knows runtimes, and must not wait for torch
    from torch import Tensor

    from marwright.schemes import Scheme, Weights

    Module = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TritonBackend:
    """What computes a module in Triton, and how it knows its inputs and its output."""

    name: str
    inputs: tuple[str, str]
    output: str
    threads: str
    """The parameter for the compute threads of an instance."""


@dataclass(frozen=True)
class Wishes:
    """What a configuration asks for that not every runtime has."""

    bilstm: bool = False
    structured_pruning: bool = False
    quantization_aware: bool = False
    max_drop: bool = False
    several_threads: bool = False
    traced: bool = False
    schemes: tuple[Scheme, ...] = ()
    """That the CPU's module may be computed in."""


@dataclass(frozen=True)
class Source:
    """A student and what is wanted of it."""

    checkpoint: Path
    """A Hugging Face checkpoint in float32."""
    scheme: Scheme
    """The numbers that the CPU's module computes in."""
    weights: Weights
    """In that scheme."""
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
    """How it was made, in a word for the card."""
    how: str
    """The same for the log: "scripted"."""
    needs: Mapping[str, Any] = field(default_factory=dict)
    """What the runtime must find on the machine that serves it, as its ``load`` in the handler reads it."""


class Runtime(ABC):
    """What executes an exported module. One file each; the configuration names it."""

    name: ClassVar[str]
    """In ``export.runtime``."""
    module_file: ClassVar[str]
    """The exported module's file name; TorchServe's tools go by its ending."""
    handler_module: ClassVar[str]
    """What loads it in the worker, among the shipped handlers."""
    packages: ClassVar[tuple[str, ...]] = ()
    """That a worker imports for it besides torch, torchserve and tokenizers."""
    triton: ClassVar[TritonBackend | None] = None
    """What computes it in Triton; none if nothing does."""

    encoders_only: ClassVar[bool] = False
    """Whether it computes marwright's own encoder only."""
    traces: ClassVar[bool] = False
    """Whether it records what a module of transformers does, which may depend on the shapes that it was shown."""

    def missing(self) -> str | None:
        """What this machine lacks to export for it, in a sentence with its cure; or none."""
        return None

    def refusal(self, wishes: Wishes) -> str | None:
        """The first wish that cannot be had with this runtime, in a sentence; or none."""
        return None

    @abstractmethod
    def export(self, source: Source, file: Path) -> Exported:
        """Write the module of a source into a file.

        Raises:
            ExportError: a tool is missing, or the module cannot be had in this form.
        """

    @abstractmethod
    def load(self, file: Path) -> Module:
        """Read a module for CPUs, called with ids and attention mask, on as many threads as torch has now."""


def first_refused(asked: Mapping[str, bool], why: str) -> str | None:
    """The first setting that is given and cannot be had, in a sentence with its cure; or none."""
    refused = next((setting for setting, given in asked.items() if given), None)
    return None if refused is None else f"{refused} {why}. Write `runtime: torchscript`, or leave it out"
