"""A BERT classifier for GPUs: every shape follows from the batch's own, so that a CUDA graph can record it once.

:class:`PackedBert` leaves padding out, and has to ask the device how long each text is. A GPU would wait for each such
question, and a graph cannot ask at all. Here the padded batch goes through as it is, and a mask keeps padding out of
attention. The last layer computes the [CLS] rows only, as there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.modules.packed_bert import PackedBert, PackedLayer


class PaddedLayer(nn.Module):
    """One transformer layer (post-norm, as in Devlin et al. 2018)."""

    def __init__(self, packed: PackedLayer) -> None:
        """Take over a layer's weights."""
        super().__init__()
        self.packed = packed
        self.heads = packed.heads
        self.head_size = packed.head_size

    def forward(self, states: Tensor, mask: Tensor, first_only: bool) -> Tensor:
        """Run the layer.

        Args:
            states: (batch, length, hidden).
            mask: (batch, 1, 1, length) to add to the scores: 0 for real tokens, minus infinity for padding.
            first_only: compute the first token of each text only.

        Returns:
            (batch, length, hidden), or (batch, 1, hidden) if ``first_only``.
        """
        batch, length = states.size(0), states.size(1)
        split = self.packed.query_key_value(states).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query = split[0]
        if first_only:
            query = query[:, :, :1]
            states = states[:, :1]
        context = functional.scaled_dot_product_attention(query, split[1], split[2], mask)
        context = context.transpose(1, 2).reshape(batch, query.size(2), self.heads * self.head_size)
        output: Tensor = self.packed.output(states, context)
        return output


class PaddedBert(nn.Module):
    """Token ids to logits, without a word between device and host."""

    def __init__(self, packed: PackedBert) -> None:
        """Take over the weights of a packed encoder, whatever precision they have."""
        super().__init__()
        self.positions = packed.shape.positions - packed.first_position
        self.first_position = packed.first_position
        self.tanh_head = packed.tanh_head
        self.word_embeddings = packed.word_embeddings
        self.position_embeddings = packed.position_embeddings
        self.embedding_norm = packed.embedding_norm
        self.layers = nn.ModuleList(PaddedLayer(layer) for layer in packed.layers)  # type: ignore[arg-type]
        self.head = packed.head
        self.classifier = packed.classifier

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Classify a padded batch.

        Args:
            ids: (batch, length) int64; padding too must stay within ``positions``.
            attention_mask: (batch, length) int64, 1 for real tokens; every text has at least one, at its start.

        Returns:
            (batch, labels) float32 logits.
        """
        length = ids.size(1)
        # A slice of the weights, and no lookup: positions are the same for every text.
        positions = self.position_embeddings.weight[self.first_position : self.first_position + length]
        states = self.embedding_norm(self.word_embeddings(ids) + positions)
        # Once for all layers, in the precision of attention: a boolean mask would be turned into this in each.
        mask = torch.zeros(attention_mask.shape, dtype=states.dtype, device=states.device)
        mask = mask.masked_fill(attention_mask == 0, -float("inf"))[:, None, None, :]
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            states = layer(states, mask, index == last)
        first = self.head(states[:, 0])
        first = torch.tanh(first) if self.tanh_head else torch.relu(first)
        logits: Tensor = self.classifier(first)
        return logits.float()
