"""A BERT classifier that computes on the real tokens of a batch only, written so that TorchScript can compile it.

The padded batch comes in, its real tokens are packed into one long row, and every linear layer, norm and activation
runs on that row. Padding appears around attention alone. The last layer computes the [CLS] positions only, since the
classification head reads nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class EncoderShape:
    """The numbers that define an encoder of the BERT family."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    labels: int
    norm_epsilon: float = 1e-12
    first_position: int = 0
    """RoBERTa counts positions from its padding id + 1."""
    head_activation: Literal["tanh", "relu"] = "tanh"
    """BERT and RoBERTa have a tanh before the last layer, DistilBERT a relu."""


class PackedLayer(nn.Module):
    """One transformer layer (post-norm, as in Devlin et al. 2018)."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.head_size = shape.hidden // shape.heads
        self.query_key_value = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.attention_output = nn.Linear(shape.hidden, shape.hidden)
        self.attention_norm = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)
        self.up = nn.Linear(shape.hidden, shape.intermediate)
        self.down = nn.Linear(shape.intermediate, shape.hidden)
        self.output_norm = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)

    def forward(self, packed: Tensor, real: Tensor, mask: Tensor, batch: int, length: int, first_only: bool) -> Tensor:
        """Run the layer.

        Args:
            packed: (tokens, hidden), the real tokens of all texts one after another.
            real: (tokens,), the place of each real token in the padded batch.
            mask: (batch, 1, 1, length) bool, true where a token is real.
            batch: texts in the batch.
            length: tokens of the longest text.
            first_only: compute the first position of each text only.

        Returns:
            (tokens, hidden), or (batch, hidden) if ``first_only``.
        """
        hidden = packed.size(1)
        projected = self.query_key_value(packed)
        if packed.size(0) != batch * length:
            padded = torch.zeros([batch * length, 3 * hidden], dtype=projected.dtype, device=projected.device)
            projected = padded.index_copy_(0, real, projected)
        heads = projected.view(batch, length, 3, self.heads, self.head_size).permute(2, 0, 3, 1, 4)
        query, key, value = heads[0], heads[1], heads[2]
        if first_only:
            query = query[:, :, :1]
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        context = context.transpose(1, 2).reshape(-1, hidden)
        if first_only:
            packed = torch.index_select(packed, 0, _first_tokens(mask))
        elif packed.size(0) != batch * length:
            context = torch.index_select(context, 0, real)
        packed = self.attention_norm(packed + self.attention_output(context))
        output: Tensor = self.output_norm(packed + self.down(functional.gelu(self.up(packed))))
        return output


def _first_tokens(mask: Tensor) -> Tensor:
    """Where each text begins in the packed row, from the (batch, 1, 1, length) mask."""
    lengths = mask.flatten(1).sum(1)
    return torch.cumsum(lengths, 0) - lengths


class PackedBert(nn.Module):
    """Token ids to logits."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.first_position = shape.first_position
        self.tanh_head = shape.head_activation == "tanh"
        self.word_embeddings = nn.Embedding(shape.vocabulary, shape.hidden)
        # Token types are constant for single texts: their row is folded into the positions.
        self.position_embeddings = nn.Embedding(shape.positions, shape.hidden)
        self.embedding_norm = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)
        self.layers = nn.ModuleList(PackedLayer(shape) for _ in range(shape.layers))
        self.head = nn.Linear(shape.hidden, shape.hidden)
        self.classifier = nn.Linear(shape.hidden, shape.labels)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Classify a padded batch.

        Args:
            ids: (batch, length) int64.
            attention_mask: (batch, length) int64, 1 for real tokens; every text has at least one, at its start.

        Returns:
            (batch, labels) float32 logits.
        """
        first = self.cls_states(ids, attention_mask)
        first = self.head(first)
        first = torch.tanh(first) if self.tanh_head else torch.relu(first)
        logits: Tensor = self.classifier(first)
        return logits.float()

    def cls_states(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The last hidden state of each text's first token, (batch, hidden)."""
        batch, length = ids.size(0), ids.size(1)
        real = attention_mask.reshape(-1).nonzero().squeeze(1)
        mask = attention_mask.to(torch.bool).view(batch, 1, 1, length)
        positions = torch.remainder(real, length) + self.first_position
        packed: Tensor = self.word_embeddings(torch.index_select(ids.reshape(-1), 0, real))
        packed = self.embedding_norm(packed + self.position_embeddings(positions))
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            packed = layer(packed, real, mask, batch, length, index == last)
        return packed
