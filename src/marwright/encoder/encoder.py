"""A classifier of the BERT family: one forward pass, whatever the layout of a batch and the numbers it computes in.

What differs is handed in as parts. The layout (:mod:`~marwright.encoder.real_tokens`, :mod:`~marwright.encoder.padded`,
:mod:`~marwright.encoder.captured`) says where the tokens of a batch lie and lets them attend to each other, with so
many heads and scores multiplied by a scale. The projections and feed-forward parts of the layers (here in float, or a
scheme's own) hold the weights. TorchScript and ``torch.export`` read the same code.

The last layer computes the first token of each text only, since the head reads nothing else.
"""

from __future__ import annotations

from typing import List  # noqa: UP035 (TorchScript reads it)

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.encoder.shape import EncoderShape, LayerShape


class Embeddings(nn.Module):
    """What a token means plus where it stands."""

    def __init__(self, words: nn.Module, positions: nn.Module, norm: nn.LayerNorm, first_position: int) -> None:
        """Take the parts; positions of a text begin at ``first_position``.

        Token types are constant for single texts: their row is part of the positions.
        """
        super().__init__()
        self.word_embeddings = words
        self.position_embeddings = positions
        self.norm = norm
        self.first_position = first_position

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return (…, hidden) for (…) ids and positions from 0 that broadcast to them."""
        states: Tensor = self.norm(
            self.word_embeddings(tokens) + self.position_embeddings(positions + self.first_position)
        )
        return states


class Projection(nn.Module):
    """Hidden states to queries, keys or values, by a linear layer of any kind."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, states: Tensor, half: bool) -> Tensor:
        """Return (…, out), in bfloat16 if ``half``, for (…, hidden)."""
        projected: Tensor = self.linear(states)
        return projected.to(torch.bfloat16) if half else projected


class AfterAttention(nn.Module):
    """What follows attention: its output product, both norms and the feed-forward products."""

    def __init__(self, shape: EncoderShape, own: LayerShape) -> None:
        """Make the parts of one layer without weights."""
        super().__init__()
        self.attention_output = nn.Linear(own.heads * shape.head_size, shape.hidden)
        self.attention_norm = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)
        self.up = nn.Linear(shape.hidden, own.intermediate)
        self.down = nn.Linear(own.intermediate, shape.hidden)
        self.output_norm = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)

    def forward(self, states: Tensor, context: Tensor) -> Tensor:
        """Return (…, hidden) for the layer's input and (…, heads * size) of attention."""
        states = self.attention_norm(states + self.attention_output(context))
        output: Tensor = self.output_norm(states + self.down(functional.gelu(self.up(states))))
        return output


class Layer(nn.Module):
    """One transformer layer (post-norm, Devlin et al. 2018): what lies on both sides of attention."""

    def __init__(self, heads: int, scale: float, query_key_value: nn.Module, after_attention: nn.Module) -> None:
        """Take the parts; ``scale`` is what the scores of attention are multiplied with."""
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.query_key_value = query_key_value
        self.after_attention = after_attention


class LastLayer(nn.Module):
    """The last layer: only the first token of each text asks, all tokens are asked."""

    def __init__(
        self, heads: int, scale: float, query: nn.Module, key_value: nn.Module, after_attention: nn.Module
    ) -> None:
        """Take the parts."""
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.query = query
        self.key_value = key_value
        self.after_attention = after_attention


class Head(nn.Module):
    """The last hidden state of a text's first token to logits."""

    def __init__(self, dense: nn.Module, classifier: nn.Linear, tanh: bool) -> None:
        """Take the parts; the activation between them is tanh, or else relu."""
        super().__init__()
        self.dense = dense
        self.classifier = classifier
        self.tanh = tanh

    def forward(self, firsts: Tensor) -> Tensor:
        """Return (texts, labels) float32 for (texts, hidden)."""
        dense = self.dense(firsts)
        logits: Tensor = self.classifier(torch.tanh(dense) if self.tanh else torch.relu(dense))
        return logits.float()


class Encoder(nn.Module):
    """Token ids to logits."""

    def __init__(
        self,
        shape: EncoderShape,
        embeddings: Embeddings,
        layers: List[Layer],  # noqa: UP006
        last: LastLayer,
        head: Head,
        layout: nn.Module,
    ) -> None:
        """Take the parts; ``layers`` are all but the last."""
        super().__init__()
        self.shape = shape
        self.embeddings = embeddings
        self.layers = nn.ModuleList(layers)
        self.last = last
        self.head = head
        self.layout = layout

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (batch, labels) float32 logits for a padded batch of (batch, length) int64 ids and mask.

        The mask is 1 for real tokens; every text has at least one, at its start.
        """
        batch = self.layout.enter(ids, attention_mask)  # type: ignore[operator]
        firsts: List[Tensor] = []  # noqa: UP006
        for places in self.layout.pieces(batch):  # type: ignore[operator]
            states = self.embeddings(places.tokens, places.positions)
            for layer in self.layers:
                projected = layer.query_key_value(states, places.half)  # type: ignore[operator]
                context = self.layout.attend(projected, places, layer.heads, layer.scale)  # type: ignore[operator]
                states = layer.after_attention(states, context)  # type: ignore[operator]
            key_value = self.last.key_value(states, places.first_half)
            first = self.layout.firsts(states, places)  # type: ignore[operator]
            query = self.last.query(first, places.first_half)
            context = self.layout.attend_from_first(query, key_value, places, self.last.heads, self.last.scale)  # type: ignore[operator]
            firsts.append(self.last.after_attention(first, context))
        logits: Tensor = self.layout.leave(self.head(torch.cat(firsts)), batch)  # type: ignore[operator]
        return logits

    def laid_out(self, layout: nn.Module) -> Encoder:
        """The same encoder on the same weights with another layout."""
        layers = [layer for layer in self.layers if isinstance(layer, Layer)]
        return Encoder(self.shape, self.embeddings, layers, self.last, self.head, layout).eval()


def float_encoder(shape: EncoderShape, layout: nn.Module) -> Encoder:
    """An encoder of ordinary linear layers, without weights."""
    scale = shape.head_size**-0.5

    def projection(own: LayerShape, parts: int) -> Projection:
        return Projection(nn.Linear(shape.hidden, parts * own.heads * shape.head_size))

    own = shape.layers[-1]
    return Encoder(
        shape,
        Embeddings(
            nn.Embedding(shape.vocabulary, shape.hidden),
            nn.Embedding(shape.positions, shape.hidden),
            nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon),
            shape.first_position,
        ),
        [Layer(each.heads, scale, projection(each, 3), AfterAttention(shape, each)) for each in shape.layers[:-1]],
        LastLayer(own.heads, scale, projection(own, 1), projection(own, 2), AfterAttention(shape, own)),
        Head(
            nn.Linear(shape.hidden, shape.hidden),
            nn.Linear(shape.hidden, shape.labels),
            shape.head_activation == "tanh",
        ),
        layout,
    )
