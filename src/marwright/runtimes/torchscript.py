"""TorchScript: marwright's own encoders are scripted, everything else is traced."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from marwright.runtimes.runtime import Exported, Runtime, Source, TritonBackend

if TYPE_CHECKING:
    from torch import nn

    from marwright.runtimes.runtime import Module


class TorchScript(Runtime):
    """Runs on any machine with torch, from the file that was tested."""

    name = "torchscript"
    module_file = "model.pt"
    handler_module = "torchscript_runtime"
    traces = True
    # TorchScript has no names for its inputs; what follows the two underscores is the place.
    triton = TritonBackend("pytorch", ("input_ids__0", "attention_mask__1"), "logits__0", "INTRA_OP_THREAD_COUNT")

    def export(self, source: Source, file: Path) -> Exported:
        from marwright.encoder.families import load_module
        from marwright.runtimes import jit

        module = load_module(source.checkpoint, source.method)
        script = is_scripted(module)
        unquantized = jit.to_torchscript(copy.deepcopy(module), source.example, script=script)
        eager = source.scheme.build(module, source.weights)
        jit.save(jit.to_torchscript(eager, source.example, script=script), file)
        method, how = ("script", "scripted") if script else ("trace", "traced")
        needs = dict(source.scheme.needs)
        return Exported(unquantized, jit.load(file), eager, type(eager).__name__, method, how, needs)

    def load(self, file: Path) -> Module:
        from marwright.runtimes import jit

        return jit.load(file)


def is_scripted(module: nn.Module) -> bool:
    """Whether it is written for TorchScript; a module of transformers is traced."""
    from marwright.encoder.encoder import Encoder
    from marwright.encoder.packed_lstm import PackedLstm

    return isinstance(module, Encoder | PackedLstm)
