"""An encoder whose layers have fixed int8 scales: how it is fitted, and how it is put together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from marwright.encoder.captured import CapturedLayout
from marwright.encoder.encoder import Embeddings, Encoder, Head, LastLayer, Layer
from marwright.encoder.logits import logits_of
from marwright.encoder.real_tokens import RealTokensLayout
from marwright.encoder.shape import EncoderShape
from marwright.schemes.calibration import CALIBRATION_ROWS, COMPARED_ROWS, CUTS, evenly, quantize, ranges_of
from marwright.schemes.captured_linear import CapturedInt8Linear
from marwright.schemes.int8_rows import Int8Embedding
from marwright.schemes.scheme import Fitted, Texts, Weights
from marwright.schemes.static_layers import (
    MANY,
    NEVER,
    ChannelRange,
    StaticAfterAttention,
    StaticDense,
    StaticProjection,
)
from marwright.schemes.static_linear import StaticInt8Linear

LinearClass = Callable[[Tensor, Tensor, Tensor, float, int], nn.Module]


def fitted(module: Encoder, train: Texts, *, int8_embeddings: bool) -> Fitted:
    """Quantize with the cut of GELU's values with which the logits of some of the rows change least."""
    ranges = ranges_of(module, evenly(train.rows, CALIBRATION_ROWS), train.filler)
    compared = evenly(evenly(train.rows, CALIBRATION_ROWS), COMPARED_ROWS)
    wanted = logits_of(module, compared, train.filler)
    found: list[tuple[float, float, Weights]] = []
    for cut in CUTS:
        weights = quantize(module, ranges, cut, int8_embeddings=int8_embeddings)
        logits = logits_of(for_texts(module.shape, weights), compared, train.filler)
        found.append((float(np.square(logits - wanted).mean()), cut, weights))
    _, cut, weights = min(found, key=lambda each: each[0])
    return Fitted(weights, {"gelu_range_kept": cut})


def for_texts(shape: EncoderShape, weights: Weights) -> Encoder:
    """The encoder that computes on real tokens."""
    layout = RealTokensLayout([layer.heads for layer in shape.layers], half=True, rounded_from=MANY)
    return assemble(shape, weights, layout, StaticInt8Linear, MANY, NEVER)


def for_capture(shape: EncoderShape, weights: Weights) -> Encoder:
    """The same for ``torch.export``."""
    return assemble(shape, weights, CapturedLayout(half=True), CapturedInt8Linear, 0, 0)


def assemble(
    shape: EncoderShape,
    weights: Weights,
    layout: nn.Module,
    linear_class: LinearClass,
    fused_from: int,
    head_fused_from: int,
) -> Encoder:
    """Make an encoder of its numbers and the weights that :func:`~marwright.schemes.calibration.quantize` gave.

    From ``fused_from`` rows on the layers use fused kernels, from ``head_fused_from`` texts on the head does.

    Raises:
        KeyError: a tensor is missing.
    """
    tensors = weights.tensors

    def linear(name: str) -> nn.Module:
        weight, scales, bias = (tensors[f"{name}.{part}"] for part in ("rows", "scales", "bias"))
        if f"{name}.input_scale" not in tensors:  # its input comes in steps around 0
            return linear_class(weight, scales, bias, 1.0, 128)
        scale, zero_point = tensors[f"{name}.input_scale"], tensors[f"{name}.input_zero_point"]
        return linear_class(weight, scales, bias, float(scale), int(zero_point))

    def norm(name: str) -> nn.LayerNorm:
        made = nn.LayerNorm(shape.hidden, eps=shape.norm_epsilon)
        made.load_state_dict({part: tensors[f"{name}.{part}"] for part in ("weight", "bias")})
        return made

    def input_range(name: str) -> ChannelRange:
        return ChannelRange(tensors[f"{name}.centres"], tensors[f"{name}.steps"])

    def projection(name: str, fused: int = fused_from) -> StaticProjection:
        return StaticProjection(input_range(name), linear(name), fused)

    def after_attention(layer: str) -> StaticAfterAttention:
        return StaticAfterAttention(
            linear(f"{layer}.attention_output"),
            norm(f"{layer}.attention_norm"),
            input_range(f"{layer}.up"),
            linear(f"{layer}.up"),
            linear(f"{layer}.down"),
            norm(f"{layer}.output_norm"),
            fused_from,
        )

    words: nn.Module
    if "embeddings.word_embeddings" in weights.embeddings:
        words = Int8Embedding(tensors["embeddings.word_embeddings.rows"], tensors["embeddings.word_embeddings.scales"])
    else:
        words = nn.Embedding.from_pretrained(tensors["embeddings.word_embeddings.weight"])  # type: ignore[no-untyped-call]
    classifier = nn.Linear(shape.hidden, shape.labels)
    classifier.load_state_dict({part: tensors[f"head.classifier.{part}"] for part in ("weight", "bias")})
    # The weights of the queries have the scale of the scores.
    layers = [
        Layer(
            own.heads,
            1.0,
            projection(f"layers.{index}.query_key_value.linear"),
            after_attention(f"layers.{index}.after_attention"),
        )
        for index, own in enumerate(shape.layers[:-1])
    ]
    last = LastLayer(
        shape.layers[-1].heads,
        1.0,
        projection("last.query.linear"),
        projection("last.key_value.linear"),
        after_attention("last.after_attention"),
    )
    module = Encoder(
        shape,
        Embeddings(
            words,
            nn.Embedding.from_pretrained(tensors["embeddings.position_embeddings.weight"]),  # type: ignore[no-untyped-call]
            norm("embeddings.norm"),
            shape.first_position,
        ),
        layers,
        last,
        Head(StaticDense(projection("head.dense", head_fused_from)), classifier, shape.head_activation == "tanh"),
        layout,
    )
    return module.eval().requires_grad_(False)
