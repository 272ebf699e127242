"""The work of a batch on a GPU, where padding is computed like any token."""

from __future__ import annotations

from marwright.encoder.shape import EncoderShape


def operations(shape: EncoderShape, texts: int, length: int) -> float:
    """Floating-point operations of the products with weights: two for each weight and each row that meets it.

    Attention's products of tokens with tokens are not counted: for short texts they are a few per cent.

    Args:
        shape: the encoder's. Of its last layer only the first tokens are computed, but for queries, keys and values.
        texts: in the batch, with those that only fill it up.
        length: tokens of each, with those that only fill it up.
    """
    tokens, hidden = texts * length, shape.hidden
    met = 0
    for number, layer in enumerate(shape.layers, 1):
        attended = layer.heads * shape.head_size
        rows = texts if number == len(shape.layers) else tokens
        met += tokens * hidden * 3 * attended + rows * hidden * (attended + 2 * layer.intermediate)
    return 2.0 * (met + texts * hidden * (hidden + shape.labels))
