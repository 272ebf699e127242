"""Int8 layers: linear layers with dynamically quantized activations, and embeddings stored as int8 rows.

Every call into ``torch.ao.quantization``, which is leaving PyTorch, stands in this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import dynamic

# torch does not annotate it.
DynamicInt8Linear: Any = dynamic.Linear


class Int8Embedding(nn.Module):
    """An embedding whose rows are int8 with one float32 scale each: a quarter of the size, read a row at a time."""

    rows: Tensor
    scales: Tensor

    def __init__(self, rows: Tensor, scales: Tensor, dtype: torch.dtype = torch.float32) -> None:
        """Take int8 ``rows`` of shape (vocabulary, hidden) and float32 ``scales`` of shape (vocabulary, 1)."""
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("scales", scales)
        self.dtype = dtype

    @classmethod
    def from_float(cls, embedding: nn.Embedding, dtype: torch.dtype = torch.float32) -> Int8Embedding:
        """Quantize symmetrically, the largest weight of each row becoming 127; ``dtype`` is what it gives out."""
        weight = embedding.weight.detach().float()
        scales = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-8) / 127
        return cls((weight / scales).round().to(torch.int8), scales, dtype)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (..., hidden) for ids of shape (...)."""
        rows = nn.functional.embedding(ids, self.rows)
        return (rows * nn.functional.embedding(ids, self.scales)).to(self.dtype)


def quantize_linears(module: nn.Module, keep: frozenset[str]) -> list[str]:
    """Replace, in place, every linear layer by dynamic int8 with one scale per output channel.

    Args:
        module: on the CPU, in float32.
        keep: names of layers that stay in float32.

    Returns:
        the names of the layers replaced.
    """
    linears = {name: child for name, child in module.named_modules() if type(child) is nn.Linear and name not in keep}
    for name, linear in linears.items():
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1) / 127).clamp_min(1e-8)
        rows = (weight / scales[:, None]).round().to(torch.int8)
        _replace(module, name, _int8_linear(rows, scales, linear.bias))
    return list(linears)


def _int8_linear(rows: Tensor, scales: Tensor, bias: Tensor | None) -> nn.Module:
    linear: nn.Module = DynamicInt8Linear(rows.size(1), rows.size(0), bias_=bias is not None)
    zeros = torch.zeros(rows.size(0), dtype=torch.long)
    weight = torch._make_per_channel_quantized_tensor(rows, scales.double(), zeros, 0)
    linear.set_weight_bias(  # type: ignore[operator]
        weight, None if bias is None else bias.detach().float()
    )
    return linear


def quantize_embeddings(module: nn.Module, dtype: torch.dtype, smallest: int = 4096) -> list[str]:
    """Replace, in place, embeddings of at least ``smallest`` rows by :class:`Int8Embedding`; return their names."""
    embeddings = {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, nn.Embedding) and child.num_embeddings >= smallest
    }
    for name, embedding in embeddings.items():
        _replace(module, name, Int8Embedding.from_float(embedding, dtype))
    return list(embeddings)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """All weights as plain tensors, for a safetensors file; int8 linear layers give ``rows``, ``scales``, ``bias``."""
    tensors: dict[str, Tensor] = {}
    int8 = {name: child for name, child in module.named_modules() if isinstance(child, DynamicInt8Linear)}
    for name, child in int8.items():
        weight = child.weight()
        tensors[f"{name}.rows"] = weight.int_repr().contiguous()
        tensors[f"{name}.scales"] = weight.q_per_channel_scales().float()
        if child.bias() is not None:
            tensors[f"{name}.bias"] = child.bias().detach()
    for name, tensor in module.state_dict().items():
        if not any(name.startswith(f"{layer}.") for layer in int8):
            tensors[name] = tensor.detach().contiguous()
    return tensors


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """Undo :func:`tensors_of`: give a float module the precision and the weights of the tensors.

    Args:
        module: the float module of the same checkpoint; changed in place.
        tensors: what :func:`tensors_of` returned.
        dtype: of everything that is not int8.
    """
    module.to(dtype)
    int8 = [key.removesuffix(".rows") for key in tensors if key.endswith(".rows")]
    quantized = {f"{name}.{part}" for name in int8 for part in ("rows", "scales", "bias", "weight")}
    rest = {name: tensor for name, tensor in tensors.items() if name not in quantized}
    missing, unexpected = module.load_state_dict(rest, strict=False)
    if unexpected or set(missing) - quantized:
        raise ValueError(f"the weights do not fit the module: missing {missing}, unexpected {unexpected}")
    for name in int8:
        rows, scales = tensors[f"{name}.rows"], tensors[f"{name}.scales"]
        if isinstance(module.get_submodule(name), nn.Embedding):
            _replace(module, name, Int8Embedding(rows, scales, dtype))
        else:
            _replace(module, name, _int8_linear(rows, scales, tensors.get(f"{name}.bias")))
    return module


def _replace(module: nn.Module, name: str, child: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, child)
