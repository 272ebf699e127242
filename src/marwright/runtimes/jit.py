"""Turns a module into TorchScript. Every call into ``torch.jit``, which is leaving PyTorch, stands in this file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from marwright.files import replacing
from marwright.runtimes.reproducible import reproducible
from marwright.schemes.static_linear import StaticInt8Linear


def to_torchscript(module: nn.Module, example: tuple[Tensor, Tensor], *, script: bool) -> torch.jit.ScriptModule:
    """Script or trace, then freeze: weights become constants, attributes and training code go.

    To script is to compile the module's own code, to trace is to record what it does with the example's ids and
    attention mask, (batch, length) each.
    """
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        if script:
            _give_new_types(module)
            compiled: torch.jit.ScriptModule = torch.jit.script(module)
            if any(isinstance(child, StaticInt8Linear) for child in module.modules()):
                # Packed weights cannot become constants: they are packed anew wherever the module is loaded.
                return compiled
        else:
            # The checker would compare the trace with itself; parity.py compares it with the eager module.
            compiled = torch.jit.trace(  # type: ignore[no-untyped-call]
                module, example, check_trace=False, strict=False
            )
        frozen: torch.jit.ScriptModule = torch.jit.freeze(compiled)
        return frozen


def _give_new_types(module: nn.Module) -> None:
    """Let scripting see a module's classes as if for the first time, but for their plain names, which are taken.

    A type that an earlier module left would keep its methods in the order in which that one called them. And in a new
    process the first type of a class has its plain name, later ones a counted name: here it is always a counted one.
    """
    for _ in range(2):
        torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
        torch.jit._recursive.get_module_concrete_type(module)  # type: ignore[no-untyped-call]


def on_the_inputs_device(frozen: torch.jit.ScriptModule) -> None:
    """Let a traced module make its own tensors, such as masks, where its ids are: a trace has the CPU written into it.

    Loading a file for a GPU moves weights, and leaves such a device as it is. The module is changed in place.
    """
    graph = frozen.graph
    constants = graph.findAllNodes("prim::Constant")  # type: ignore[attr-defined]
    devices = [node for node in constants if node.output().type().kind() == "DeviceObjType"]
    ids = list(graph.inputs())[1]
    found = graph.create("prim::device", [ids], 1)
    found.output().setType(torch._C.DeviceObjType.get())
    graph.prependNode(found)
    for node in devices:
        node.output().replaceAllUsesWith(found.output())
    torch._C._jit_pass_dce(graph)


def save(module: torch.jit.ScriptModule, file: Path) -> None:
    """Write a TorchScript file, whole or not at all; equal modules give equal bytes wherever they are saved."""
    written = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(module, written)
    with replacing(file) as partial:
        partial.write_bytes(reproducible(written.getvalue()))


def load(file: Path) -> torch.jit.ScriptModule:
    """Read a TorchScript file onto the CPU, as a handler would."""
    with warnings.catch_warnings(action="ignore"):
        module: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
            str(file), map_location="cpu"
        )
        return module
