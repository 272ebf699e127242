"""A BERT classifier in int8 whose activation scales are fixed at build time, for CPUs; TorchScript can compile it.

It computes what :class:`PackedBert` computes, on the real tokens of a batch, with as few passes over memory as the
operators of PyTorch allow: bias, GELU, residual and the next layer's quantization are part of the int8 products, and
each channel of an activation has a scale and a centre of its own. Those of attention's output are folded into the
weights that make it.

Many tokens take the fused kernels and attention in bfloat16, few tokens the kernels that cost nothing to call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Dict, List, Tuple  # noqa: UP035 (TorchScript reads these)

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.modules.attention import attend, attend_from_first, attend_from_one
from marwright.modules.packed_bert import EncoderShape, PackedBert
from marwright.modules.packing import Rows, arrange, idle_tokens, pack, text_of_token, within_budget
from marwright.modules.quantized import Int8Embedding, load_tensors
from marwright.modules.static_linear import StaticInt8Linear, cut_to_bytes_, to_bytes


class ChannelRange(nn.Module):
    """Brings every channel of an activation into -127.5 to 127.5, as calibration saw it."""

    def __init__(self, centres: Tensor, steps: Tensor) -> None:
        """Take the (channels,) middle of each channel's range and the size of one int8 step in it."""
        super().__init__()
        self.register_buffer("factor", 1 / steps)
        self.register_buffer("offset", -centres / steps)
        # Conversion to integers cuts: 128 moves the values above 0, a half makes a cut a rounding.
        self.register_buffer("byte_offset", 128.5 - centres / steps)

    def forward(self, states: Tensor) -> Tensor:
        """Return (tokens, channels) float32 in steps."""
        return torch.addcmul(self.offset, states, self.factor)  # type: ignore[arg-type]

    def to_bytes(self, states: Tensor) -> Tensor:
        """Return (tokens, channels) uint8."""
        return cut_to_bytes_(torch.addcmul(self.byte_offset, states, self.factor))  # type: ignore[arg-type]


class StaticFeedForward(nn.Module):
    """What follows attention in a layer: its output product, both norms and the feed-forward products."""

    def __init__(
        self,
        attention_output: StaticInt8Linear,
        attention_norm: nn.LayerNorm,
        up_range: ChannelRange,
        up: StaticInt8Linear,
        down: StaticInt8Linear,
        output_norm: nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.attention_output = attention_output
        self.attention_norm = attention_norm
        self.up_range = up_range
        self.up = up
        self.down = down
        self.output_norm = output_norm

    def forward(self, states: Tensor, context: Tensor) -> Tensor:
        """Return (tokens, hidden) for the layer's input, which is overwritten, and attention's output in steps."""
        if are_many(states):
            states = self.attention_norm(self.attention_output.add_product_(states, to_bytes(context)))
            up = self.up.gelu_to_bytes(
                self.up_range.to_bytes(states), self.down.input_scale, self.down.input_zero_point
            )
            output: Tensor = self.output_norm(self.down.add_product_(states, up))
            return output
        states = self.attention_norm(states.add_(self.attention_output(context)))
        output = self.output_norm(states.add_(self.down(functional.gelu(self.up(self.up_range(states))))))
        return output


class StaticLayer(nn.Module):
    """One transformer layer (post-norm, as in Devlin et al. 2018)."""

    def __init__(
        self, heads: int, input_range: ChannelRange, query_key_value: StaticInt8Linear, rest: StaticFeedForward
    ) -> None:
        """Take the parts; queries must be scaled already, values be in steps of attention's output."""
        super().__init__()
        self.heads = heads
        self.input_range = input_range
        self.query_key_value = query_key_value
        self.rest = rest

    def forward(self, states: Tensor, rows: Rows, mask: Tensor) -> Tensor:
        """Return (tokens, hidden) for (tokens, hidden), which is overwritten; the mask's type is attention's."""
        if are_many(states):
            quantized = self.input_range.to_bytes(states)
            projected = self.query_key_value.product(quantized, mask.dtype)  # type: ignore[arg-type]
        else:
            projected = self.query_key_value(self.input_range(states))
        output: Tensor = self.rest(states, attend(projected, rows, mask, self.heads))
        return output


class StaticLastLayer(nn.Module):
    """The last layer, computed for the first token of each text only: the head reads nothing else."""

    def __init__(
        self,
        heads: int,
        input_range: ChannelRange,
        query: StaticInt8Linear,
        key_value: StaticInt8Linear,
        rest: StaticFeedForward,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.input_range = input_range
        self.query = query
        self.key_value = key_value
        self.rest = rest

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Return (texts, hidden) for (tokens, hidden) and (texts,) lengths."""
        if are_many(states):
            key_value = self.key_value.product(self.input_range.to_bytes(states), torch.float32)  # type: ignore[arg-type]
        else:
            key_value = self.key_value(self.input_range(states))
        if lengths.numel() == 1:
            states = states[:1]
            query = self.query(self.input_range(states))
            context = attend_from_one(query, key_value, int(lengths), self.heads)
        else:
            states = states.index_select(0, lengths.cumsum(0) - lengths)
            query = self.query(self.input_range(states))
            context = attend_from_first(query, key_value, text_of_token(lengths), self.heads)
        output: Tensor = self.rest(states, context)
        return output


class StaticInt8Bert(nn.Module):
    """Token ids to logits."""

    def __init__(
        self,
        embeddings: Tuple[nn.Module, nn.Module, nn.LayerNorm],  # noqa: UP006
        first_position: int,
        layers: List[StaticLayer],  # noqa: UP006
        last_layer: StaticLastLayer,
        head_range: ChannelRange,
        head: StaticInt8Linear,
        tanh_head: bool,
        classifier: nn.Linear,
        token_budget: int = 512,
    ) -> None:
        """Take the parts.

        Args:
            embeddings: of words and of positions, and their norm.
            first_position: where the positions of a text begin.
            layers: all but the last.
            last_layer: the last.
            head_range: of the last hidden state.
            head: the linear layer before the last one.
            tanh_head: its activation is tanh, not relu.
            classifier: the last linear layer, in float32.
            token_budget: tokens computed at once, so that what lies between two layers stays in the core's cache.
        """
        super().__init__()
        self.word_embeddings, self.position_embeddings, self.embedding_norm = embeddings
        self.first_position = first_position
        self.layers = nn.ModuleList(layers)
        self.last_layer = last_layer
        self.head_range = head_range
        self.head = head
        self.tanh_head = tanh_head
        self.classifier = classifier
        self.token_budget = token_budget

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Classify a padded batch.

        Args:
            ids: (batch, length) int64.
            attention_mask: (batch, length) int64, 1 for real tokens; every text has at least one, at its start.

        Returns:
            (batch, labels) float32 logits.
        """
        packed = pack(ids, attention_mask)
        sizes: List[int] = packed.lengths.tolist()  # noqa: UP006
        bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        states: List[Tensor] = []  # noqa: UP006
        start = 0
        for first, after in within_budget(sizes, self.token_budget):
            lengths = packed.lengths[first:after]
            end = start + sum(sizes[first:after])
            tokens, positions = packed.tokens[start:end], packed.positions[start:end]
            states.append(self.run(tokens, positions, lengths, sizes[first:after], bfloat16))
            start = end
        sorted_states = torch.cat(states)
        head = self.head(self.head_range(sorted_states))
        logits: Tensor = self.classifier(torch.tanh(head) if self.tanh_head else torch.relu(head))
        if ids.size(0) == 1:
            return logits
        return torch.empty_like(logits).index_copy_(0, packed.order, logits)

    def run(self, tokens: Tensor, positions: Tensor, lengths: Tensor, sizes: List[int], bfloat16: bool) -> Tensor:  # noqa: UP006
        """The last hidden state of each text's first token, (texts, hidden), for packed texts."""
        idle = idle_tokens(tokens.numel()) if are_many(tokens) else 0
        if idle > 0:
            tokens, positions = functional.pad(tokens, [0, idle]), functional.pad(positions, [0, idle])
        states: Tensor = self.embedding_norm(
            self.word_embeddings(tokens) + self.position_embeddings(positions + self.first_position)
        )
        rows = arrange(sizes, idle)
        masks: Dict[int, Tensor] = {}  # noqa: UP006
        for layer in self.layers:
            heads: int = layer.heads  # type: ignore[assignment]
            if heads not in masks:
                masks[heads] = mask_for(rows, heads, bfloat16)
            states = layer(states, rows, masks[heads])
        output: Tensor = self.last_layer(states, lengths)
        return output


def mask_for(rows: Rows, heads: int, bfloat16: bool) -> Tensor:
    """The mask of some rows in the precision of attention; in bfloat16 it is repeated for each head."""
    mask = rows.mask.to(torch.bfloat16) if bfloat16 else rows.mask
    repeated = bfloat16 and mask.numel() > 0
    return mask.expand(rows.number, heads, rows.width, rows.width).flatten(0, 1) if repeated else mask


def are_many(states: Tensor) -> bool:
    """Whether the fused kernels make up for what it costs to call them, for (tokens, ...)."""
    return states.size(0) >= 64


def assemble(shape: EncoderShape, tensors: Mapping[str, Tensor]) -> StaticInt8Bert:
    """Make a module of an encoder's numbers and its quantized tensors, as calibration names them.

    Raises:
        KeyError: a tensor is missing.
    """

    def linear(name: str, rows: slice = slice(None)) -> StaticInt8Linear:
        weight, scales, bias = (tensors[f"{name}.{part}"][rows].contiguous() for part in ("rows", "scales", "bias"))
        if f"{name}.input_scale" not in tensors:
            return StaticInt8Linear(weight, scales, bias)
        scale, zero_point = tensors[f"{name}.input_scale"], tensors[f"{name}.input_zero_point"]
        return StaticInt8Linear(weight, scales, bias, float(scale), int(zero_point))

    def norm(name: str) -> nn.LayerNorm:
        made = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)
        made.load_state_dict({part: tensors[f"{name}.{part}"] for part in ("weight", "bias")})
        return made

    def input_range(name: str) -> ChannelRange:
        return ChannelRange(tensors[f"{name}.centres"], tensors[f"{name}.steps"])

    def rest(layer: str) -> StaticFeedForward:
        return StaticFeedForward(
            linear(f"{layer}.attention_output"),
            norm(f"{layer}.attention_norm"),
            input_range(f"{layer}.up"),
            linear(f"{layer}.up"),
            linear(f"{layer}.down"),
            norm(f"{layer}.output_norm"),
        )

    layers = []
    for index, own in enumerate(shape.layers[:-1]):
        name = f"layers.{index}"
        product = f"{name}.query_key_value"
        layers.append(StaticLayer(own.heads, input_range(product), linear(product), rest(name)))
    name = f"layers.{len(shape.layers) - 1}"
    heads = shape.layers[-1].heads
    product = f"{name}.query_key_value"
    query, key_value = slice(0, heads * shape.head_size), slice(heads * shape.head_size, None)
    last_layer = StaticLastLayer(
        heads, input_range(product), linear(product, query), linear(product, key_value), rest(name)
    )
    words: nn.Module
    if "word_embeddings.rows" in tensors:
        words = Int8Embedding(tensors["word_embeddings.rows"], tensors["word_embeddings.scales"])
    else:
        words = _embedding(tensors["word_embeddings.weight"])
    positions = _embedding(tensors["position_embeddings.weight"])
    classifier = nn.Linear(shape.hidden, shape.labels)
    classifier.load_state_dict({part: tensors[f"classifier.{part}"] for part in ("weight", "bias")})
    module = StaticInt8Bert(
        (words, positions, norm("embedding_norm")),
        shape.first_position,
        layers,
        last_layer,
        input_range("head"),
        linear("head"),
        shape.head_activation == "tanh",
        classifier,
    )
    return module.eval().requires_grad_(False)


def _embedding(weight: Tensor) -> nn.Embedding:
    made = nn.Embedding(*weight.shape)
    made.load_state_dict({"weight": weight})
    return made


def compressed_module(module: nn.Module, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """Give a float module the precision and the weights that compression chose for it.

    Args:
        module: the float module of the same checkpoint; it may be changed in place.
        tensors: what compression wrote.
        dtype: of everything that is not int8.
    """
    if isinstance(module, PackedBert) and "head.steps" in tensors:
        return assemble(module.shape, tensors)
    return load_tensors(module, tensors, dtype)
