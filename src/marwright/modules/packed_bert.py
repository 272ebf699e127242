"""A BERT classifier that computes on the real tokens of a batch only, written so that TorchScript can compile it.

The padded batch comes in; its texts are sorted by length and their real tokens packed into one long row. Linear layers,
norms and activations run on that row. Attention takes the texts of one length at a time, which lie side by side in the
row: no padding, no mask, no copying. The last layer computes the [CLS] positions only, since the classification head
reads nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Literal, Tuple  # noqa: UP035 (TorchScript reads these)

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.modules.packing import groups_of, pack, within_budget


@dataclass(frozen=True)
class LayerShape:
    """The numbers of one layer; pruning leaves each layer its own."""

    heads: int
    intermediate: int


@dataclass(frozen=True)
class EncoderShape:
    """The numbers that define an encoder of the BERT family."""

    vocabulary: int
    hidden: int
    head_size: int
    """Channels of one attention head."""
    layers: tuple[LayerShape, ...]
    positions: int
    labels: int
    norm_epsilon: float = 1e-12
    first_position: int = 0
    """RoBERTa counts positions from its padding id + 1."""
    head_activation: Literal["tanh", "relu"] = "tanh"
    """BERT and RoBERTa have a tanh before the last layer, DistilBERT a relu."""


class PackedLayer(nn.Module):
    """One transformer layer (post-norm, as in Devlin et al. 2018)."""

    def __init__(self, shape: EncoderShape, own: LayerShape) -> None:
        super().__init__()
        self.heads = own.heads
        self.head_size = shape.head_size
        attended = own.heads * shape.head_size
        self.query_key_value = nn.Linear(shape.hidden, 3 * attended)
        self.attention_output = nn.Linear(attended, shape.hidden)
        self.attention_norm = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)
        self.up = nn.Linear(shape.hidden, own.intermediate)
        self.down = nn.Linear(own.intermediate, shape.hidden)
        self.output_norm = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)

    def forward(self, packed: Tensor, groups: List[Tuple[int, int]], first_only: bool) -> Tensor:  # noqa: UP006
        """Run the layer.

        Args:
            packed: (tokens, hidden), the tokens of all texts one after another, short texts first.
            groups: how many texts there are of which length, in that order.
            first_only: compute the first token of each text only.

        Returns:
            (tokens, hidden), or (texts, hidden) if ``first_only``.
        """
        attended = self.heads * self.head_size
        projected = self.query_key_value(packed)
        contexts: List[Tensor] = []  # noqa: UP006
        firsts: List[Tensor] = []  # noqa: UP006
        start = 0
        for texts, length in groups:
            end = start + texts * length
            heads = projected[start:end].view(texts, length, 3, self.heads, self.head_size).permute(2, 0, 3, 1, 4)
            query = heads[0]
            if first_only:
                query = query[:, :, :1]
                firsts.append(packed[start:end:length])
            context = functional.scaled_dot_product_attention(query, heads[1], heads[2])
            contexts.append(context.transpose(1, 2).reshape(-1, attended))
            start = end
        if first_only:
            packed = torch.cat(firsts)
        return self.output(packed, torch.cat(contexts))

    def output(self, states: Tensor, context: Tensor) -> Tensor:
        """What follows attention: (…, hidden) for the layer's input and attention's output, (…, heads * size)."""
        states = self.attention_norm(states + self.attention_output(context))
        output: Tensor = self.output_norm(states + self.down(functional.gelu(self.up(states))))
        return output


class PackedBert(nn.Module):
    """Token ids to logits."""

    def __init__(self, shape: EncoderShape, token_budget: int = 512) -> None:
        """Build an encoder without weights.

        Args:
            shape: its numbers.
            token_budget: tokens computed at once; a larger batch is cut between texts. It bounds the memory, and on a
                CPU what lies between two layers then stays in the core's cache. A GPU wants all at once.
        """
        super().__init__()
        self.shape = shape
        self.first_position = shape.first_position
        self.tanh_head = shape.head_activation == "tanh"
        self.token_budget = token_budget
        self.word_embeddings = nn.Embedding(shape.vocabulary, shape.hidden)
        # Token types are constant for single texts: their row is folded into the positions.
        self.position_embeddings = nn.Embedding(shape.positions, shape.hidden)
        self.embedding_norm = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)
        self.layers = nn.ModuleList(PackedLayer(shape, own) for own in shape.layers)
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
        first = self.head(self.cls_states(ids, attention_mask))
        first = torch.tanh(first) if self.tanh_head else torch.relu(first)
        logits: Tensor = self.classifier(first)
        return logits.float()

    def cls_states(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The last hidden state of each text's first token, (batch, hidden)."""
        packed = pack(ids, attention_mask)
        sizes: List[int] = packed.lengths.tolist()  # noqa: UP006
        last = len(self.layers) - 1
        results: List[Tensor] = []  # noqa: UP006
        start = 0
        for first, after in within_budget(sizes, self.token_budget):
            end = start + sum(sizes[first:after])
            states = self.word_embeddings(packed.tokens[start:end])
            states = states + self.position_embeddings(packed.positions[start:end] + self.first_position)
            states = self.embedding_norm(states)
            groups = groups_of(sizes[first:after])
            for index, layer in enumerate(self.layers):
                states = layer(states, groups, index == last)
            results.append(states)
            start = end
        sorted_states = torch.cat(results)
        return torch.empty_like(sorted_states).index_copy_(0, packed.order, sorted_states)
