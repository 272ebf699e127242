"""A BERT classifier on the real tokens of a batch, written so that `torch.export` can capture it for every shape.

The sizes of a captured graph are symbols: it has no loop over texts and no choice by size, as :class:`PackedBert` has.
Linear layers, norms and activations run on the real tokens in one row, attention on the padded batch. The last layer
computes the first token of each text only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.modules.packed_bert import PackedBert, PackedLayer


class Layer(Protocol):
    """One transformer layer without the products between queries, keys and values."""

    heads: int
    scale: float
    """Of the scores."""

    def queries_keys_values(self, states: Tensor) -> Tensor:
        """(tokens, 3 * heads * size) for (tokens, hidden), in the precision of attention."""

    def output(self, states: Tensor, context: Tensor) -> Tensor:
        """(tokens, hidden) for the layer's input and attention's output."""


class LastLayer(Protocol):
    """The same for the layer of which the first token of each text is wanted only."""

    heads: int
    scale: float

    def queries(self, firsts: Tensor) -> Tensor:
        """(texts, heads * size) for (texts, hidden)."""

    def keys_values(self, states: Tensor) -> Tensor:
        """(tokens, 2 * heads * size) for (tokens, hidden)."""

    def output(self, states: Tensor, context: Tensor) -> Tensor:
        """(texts, hidden) for (texts, hidden) and attention's output."""


class Places(NamedTuple):
    """Where the tokens of a batch are in the padded batch."""

    real: Tensor
    """(tokens,) the place of each real token, batch * length places in all."""
    tokens: Tensor
    """(batch * length,) the token at each place; padding shows the token before it."""
    mask: Tensor
    """(batch, length) float32, minus infinity at padding."""


class SymbolicBert(nn.Module):
    """Token ids to logits."""

    def __init__(
        self,
        embeddings: tuple[nn.Module, nn.Module, nn.LayerNorm],
        first_position: int,
        layers: Sequence[nn.Module],
        head: nn.Module,
        classifier: nn.Linear,
    ) -> None:
        """Take the parts.

        Args:
            embeddings: of words and of positions, and their norm.
            first_position: where the positions of a text begin.
            layers: a :class:`Layer` each, and a :class:`LastLayer`.
            head: what stands between the last hidden state and the classifier, its activation included.
            classifier: the last linear layer.
        """
        super().__init__()
        self.word_embeddings, self.position_embeddings, self.embedding_norm = embeddings
        self.first_position = first_position
        self.layers = nn.ModuleList(layers[:-1])
        self.last_layer = layers[-1]
        self.head = head
        self.classifier = classifier

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Classify a padded batch.

        Args:
            ids: (batch, length) int64.
            attention_mask: (batch, length) int64, 1 for real tokens; every text has at least one, at its start.

        Returns:
            (batch, labels) float32 logits.
        """
        batch, length = ids.shape
        places = places_of(attention_mask)
        words = self.word_embeddings(ids.reshape(-1)[places.real])
        positions = self.position_embeddings(places.real % length + self.first_position)
        states = self.embedding_norm(words + positions)
        for layer in self.layers:
            context = attend(layer.queries_keys_values(states), places, layer.heads, layer.scale)  # type: ignore[operator,arg-type]
            states = layer.output(states, context)  # type: ignore[operator]
        firsts = states[places.tokens.view(batch, length)[:, 0]]
        last: LastLayer = self.last_layer  # type: ignore[assignment]
        context = attend_from_first(last.queries(firsts), last.keys_values(states), places, last.heads, last.scale)
        logits: Tensor = self.classifier(self.head(last.output(firsts, context)))
        return logits


def places_of(attention_mask: Tensor) -> Places:
    """Find the real tokens of a (batch, length) mask."""
    batch, length = attention_mask.shape
    flat = attention_mask.reshape(-1)
    real = flat.nonzero()[:, 0]
    # What the mask promises and a graph cannot know.
    torch._check(real.size(0) >= batch)  # type: ignore[no-untyped-call]
    torch._check(real.size(0) <= batch * length)  # type: ignore[no-untyped-call]
    # Scattered, so that it is computed once: what is made point by point would be made again in every layer.
    mask = torch.full((batch * length,), -torch.inf).index_put((real,), torch.zeros(()))
    return Places(real, (flat.cumsum(0) - 1).clamp(min=0), mask.view(batch, length))


def attend(projected: Tensor, places: Places, heads: int, scale: float) -> Tensor:
    """Attention within each text, in the precision of the projections.

    Args:
        projected: (tokens, 3 * heads * size) queries, keys and values.
        places: of the tokens.
        heads: attention heads.
        scale: of the scores.

    Returns:
        (tokens, heads * size) float32.
    """
    batch, length = places.mask.shape
    split = projected[places.tokens].view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = split.reshape(3, batch * heads, length, -1).unbind()
    scores = masked_scores(query, key, places, heads, scale)
    # In place of the usual subtraction of the maximum; no score of a trained encoder comes near these bounds.
    weights = scores.clamp(-80.0, 80.0).exp().to(projected.dtype).view(batch * heads, length, length)
    context = torch.bmm(weights, value).float() / weights.float().sum(2, keepdim=True)
    context = context.view(batch, heads, length, -1).transpose(1, 2)
    return context.reshape(batch * length, -1)[places.real]


def attend_from_first(queries: Tensor, keys_values: Tensor, places: Places, heads: int, scale: float) -> Tensor:
    """Attention of one query per text.

    Args:
        queries: (texts, heads * size).
        keys_values: (tokens, 2 * heads * size).
        places: of the tokens.
        heads: attention heads.
        scale: of the scores.

    Returns:
        (texts, heads * size) float32.
    """
    batch, length = places.mask.shape
    split = keys_values[places.tokens].view(batch, length, 2, heads, -1).permute(2, 0, 3, 1, 4)
    key, value = split.reshape(2, batch * heads, length, -1).unbind()
    scores = masked_scores(queries.view(batch * heads, 1, -1), key, places, heads, scale)
    weights = torch.softmax(scores, 3).to(keys_values.dtype)
    return torch.bmm(weights.view(batch * heads, 1, length), value).float().view(batch, -1)


def masked_scores(query: Tensor, key: Tensor, places: Places, heads: int, scale: float) -> Tensor:
    """How much each token attends to each: (batch, heads, queries, length) float32, minus infinity at padding.

    Args:
        query: (batch * heads, queries, size).
        key: (batch * heads, length, size).
        places: of the tokens.
        heads: attention heads.
        scale: of the scores.
    """
    batch, length = places.mask.shape
    scores = torch.bmm(query, key.transpose(1, 2)).view(batch, heads, query.size(1), length).float()
    return scores * scale + places.mask.view(batch, 1, 1, length)


class FloatLayer(nn.Module):
    """A layer in float32."""

    def __init__(self, packed: PackedLayer) -> None:
        super().__init__()
        self.packed = packed
        self.heads = packed.heads
        self.scale = packed.head_size**-0.5

    def queries_keys_values(self, states: Tensor) -> Tensor:
        """See :class:`Layer`."""
        projected: Tensor = self.packed.query_key_value(states)
        return projected

    def queries(self, firsts: Tensor) -> Tensor:
        """See :class:`LastLayer`."""
        linear, attended = self.packed.query_key_value, self.heads * self.packed.head_size
        return functional.linear(firsts, linear.weight[:attended], linear.bias[:attended])

    def keys_values(self, states: Tensor) -> Tensor:
        """See :class:`LastLayer`."""
        linear, attended = self.packed.query_key_value, self.heads * self.packed.head_size
        return functional.linear(states, linear.weight[attended:], linear.bias[attended:])

    def output(self, states: Tensor, context: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return self.packed.output(states, context)


def symbolic_float(module: PackedBert) -> SymbolicBert:
    """The same classifier in float32, on the same weights."""
    return SymbolicBert(
        (module.word_embeddings, module.position_embeddings, module.embedding_norm),
        module.first_position,
        [FloatLayer(layer) for layer in module.layers],  # type: ignore[arg-type]
        nn.Sequential(module.head, nn.Tanh() if module.tanh_head else nn.ReLU()),
        module.classifier,
    ).eval()
