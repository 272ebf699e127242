"""Int8 layers in plain tensor operations, with weights as int8 rows that have one scale each.

Nothing of ``torch.ao.quantization``, which is leaving PyTorch, is used.

Weights have one scale per output channel, activations one per token, found as they come (dynamic quantization). A
scale per token, where ``torch.ao``'s dynamic layers have one per batch, makes an answer independent of its batch
neighbours and keeps the outliers of one token from blurring all others (as in ZeroQuant, Yao et al. 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from marwright.encoder.layer_parts import replace
from marwright.schemes.scheme import Weights

# Below this every activation of a token is noise; it keeps a token of zeros from dividing by zero.
SMALLEST_SCALE = 1e-8
# The last layer is a thousandth of the work and decides the answer: it keeps its precision.
KEPT_IN_FLOAT = frozenset({"head.classifier", "classifier", "model.classifier", "model.classifier.out_proj"})

# Of an embedding that is worth it.
FEWEST_ROWS = 4096


class Int8Linear(nn.Module):
    """A linear layer that multiplies int8 by int8 and sums in int32."""

    def __init__(self, rows: Tensor, scales: Tensor, bias: Tensor) -> None:
        """Take int8 ``rows`` (out, in), float32 ``scales`` (out,) and float32 ``bias`` (out,)."""
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", bias)

    @classmethod
    def from_float(cls, linear: nn.Linear) -> Int8Linear:
        """Quantize symmetrically, the largest weight of each output channel becoming 127."""
        rows, scales = rows_and_scales(linear.weight)
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float()
        return cls(rows, scales.squeeze(1), bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return (..., out) float32 for (..., in) float32."""
        tokens = states.reshape(-1, states.size(-1))
        # Memory is taken once for each width: to get pages from the system costs as much as to compute on them.
        rounded = tokens.abs()
        token_scales = rounded.amax(dim=1, keepdim=True) * (1 / 127) + 1e-8
        rounded = torch.div(tokens, token_scales, out=rounded).round_()
        output = torch._int_mm(rounded.to(torch.int8), self.rows.t()).to(torch.float32).mul_(token_scales)  # type: ignore[operator]
        output = torch.addcmul(self.bias, output, self.scales, out=output)  # type: ignore[arg-type]
        return output.view(states.shape[:-1] + output.shape[-1:])


class Int8Embedding(nn.Module):
    """An embedding whose rows are int8 with one float32 scale each: a quarter of the size, read a row at a time."""

    def __init__(self, rows: Tensor, scales: Tensor, dtype: torch.dtype = torch.float32) -> None:
        """Take int8 ``rows`` (vocabulary, hidden) and float32 ``scales`` (vocabulary, 1)."""
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("scales", scales)
        self.dtype = dtype

    @classmethod
    def from_float(cls, embedding: nn.Embedding, dtype: torch.dtype = torch.float32) -> Int8Embedding:
        """Quantize symmetrically, the largest weight of each row becoming 127; ``dtype`` is what it gives out."""
        return cls(*rows_and_scales(embedding.weight), dtype)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (..., hidden) for ids of shape (...)."""
        rows = nn.functional.embedding(ids, self.rows)  # type: ignore[arg-type]
        scales = nn.functional.embedding(ids, self.scales)  # type: ignore[arg-type]
        return (rows * scales).to(self.dtype)


def rows_and_scales(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Int8 rows (n, m) and float32 scales (n, 1) whose product is the weight, nearly."""
    weight = weight.detach().float()
    scales = (weight.abs().amax(dim=1, keepdim=True) / 127).clamp_min(SMALLEST_SCALE)
    return (weight / scales).round().to(torch.int8).contiguous(), scales


def quantize_linears(module: nn.Module, keep: frozenset[str]) -> list[str]:
    """Replace, in place, linear layers by :class:`Int8Linear`, but not those in ``keep``; return their names."""
    found = {name: child for name, child in module.named_modules() if type(child) is nn.Linear and name not in keep}
    for name, linear in found.items():
        replace(module, name, Int8Linear.from_float(linear))
    return list(found)


def quantize_embeddings(module: nn.Module, dtype: torch.dtype, keep: frozenset[str] = frozenset()) -> list[str]:
    """Replace, in place, large embeddings by :class:`Int8Embedding`, but not those in ``keep``; return their names."""
    found = {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, nn.Embedding) and child.num_embeddings >= FEWEST_ROWS and name not in keep
    }
    for name, embedding in found.items():
        replace(module, name, Int8Embedding.from_float(embedding, dtype))
    return list(found)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """All weights as contiguous tensors, for a safetensors file."""
    return {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}


def give_back(module: nn.Module, weights: Weights, dtype: torch.dtype) -> nn.Module:
    """Undo :func:`tensors_of`: give a float module, in place, the weights that were stored.

    ``dtype`` is the type of everything that is not int8.

    Raises:
        RuntimeError: the weights are not those of such a module.
    """
    module.to(dtype)
    tensors = weights.tensors
    for name in weights.linears:
        replace(module, name, Int8Linear(*(tensors[f"{name}.{part}"] for part in ("rows", "scales", "bias"))))
    for name in weights.embeddings:
        replace(module, name, Int8Embedding(tensors[f"{name}.rows"], tensors[f"{name}.scales"], dtype))
    module.load_state_dict(dict(tensors))
    return module
