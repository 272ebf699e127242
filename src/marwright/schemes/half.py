"""16 bits for GPUs: float16, or bfloat16 with the range of float32 and an eighth of float16's exactness."""

from __future__ import annotations

import copy

import torch
from torch import nn

from marwright.encoder.encoder import Encoder
from marwright.encoder.padded import PaddedLayout
from marwright.schemes.int8_rows import give_back, quantize_embeddings, tensors_of
from marwright.schemes.scheme import Fitted, Scheme, Texts, Weights


class Half(Scheme):
    """Everything in 16 bits, but the scales of int8 embeddings: the smallest would vanish in float16."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name = name
        self.dtype = dtype

    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        made = copy.deepcopy(module)
        embeddings = quantize_embeddings(made, self.dtype) if int8_embeddings else []
        halved = {
            name: tensor.to(self.dtype) if tensor.dtype == torch.float32 and not name.endswith(".scales") else tensor
            for name, tensor in tensors_of(made).items()
        }
        return Fitted(Weights(halved, embeddings=tuple(embeddings)))

    def build(self, module: nn.Module, weights: Weights) -> nn.Module:
        built = give_back(module, weights, self.dtype)
        return built.laid_out(PaddedLayout(self.dtype)) if isinstance(built, Encoder) else built


FP16 = Half("fp16", torch.float16)
BF16 = Half("bf16", torch.bfloat16)
