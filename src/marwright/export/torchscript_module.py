"""Exports the compressed student as TorchScript."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from marwright.export import torchscript
from marwright.export.exporting import Exported, Source
from marwright.modules.packed_bert import PackedBert
from marwright.modules.packed_lstm import PackedLstm
from marwright.modules.padded_bert import PaddedBert
from marwright.modules.pretrained import load_module
from marwright.modules.static_bert import StaticInt8Bert, compressed_module


def export_torchscript(source: Source, file: Path) -> Exported:
    """Script marwright's own encoders, trace everything else."""
    from safetensors.torch import load_file

    module = load_module(source.checkpoint, source.method)
    unquantized = torchscript.to_torchscript(module, source.example, script=is_scripted(module))
    eager = compressed_module(module, load_file(source.weights), torch.float32)
    script = is_scripted(eager)
    torchscript.save(torchscript.to_torchscript(eager, source.example, script=script), file)
    return Exported(
        unquantized,
        torchscript.load(file),
        eager,
        module=type(eager).__name__,
        method="script" if script else "trace",
        # Without these instructions the kernels for fixed scales overflow.
        needs={"needs_vnni": isinstance(eager, StaticInt8Bert)},
    )


def is_scripted(module: nn.Module) -> bool:
    """Whether it is written for TorchScript; a module of transformers is traced."""
    return isinstance(module, PackedBert | PaddedBert | PackedLstm | StaticInt8Bert)
