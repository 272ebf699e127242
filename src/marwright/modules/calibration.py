"""Static quantization: what range each activation has on real rows, and the int8 weights that go with it.

Each channel of a layer's input gets a centre and a scale of its own, which the weights of the layer take up: with all
of an activation's spread moved into the weights, this is SmoothQuant (Xiao et al. 2023) at a strength of 1. What
leaves GELU keeps one scale for all channels, since it is quantized where it is made; its rare large values are cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from marwright.logits import logits_of
from marwright.modules.packed_bert import PackedBert
from marwright.modules.quantized import rows_and_scales
from marwright.modules.static_bert import assemble

CALIBRATION_ROWS = 1000
# Other texts reach a little further than those that were looked at.
MARGIN = 1.1
# Shares of GELU's largest value, tried in turn.
CUTS = (1.0, 0.8, 0.6, 0.5, 0.4)
# Texts on which the cuts are compared.
COMPARED_ROWS = 256
# A channel that never moves still needs a step.
SMALLEST_STEP = 1e-6

Range = tuple[Tensor, Tensor]


def static_tensors(
    module: PackedBert, rows: Sequence[Sequence[int]], filler: int, precise_embeddings: bool
) -> tuple[dict[str, Tensor], float]:
    """Quantize a float module to the tensors of a :class:`StaticInt8Bert`.

    The cut of GELU's values is the one with which the logits of some of the rows change least.

    Args:
        module: in float32.
        rows: token ids of texts from the train split.
        filler: the padding id.
        precise_embeddings: keep word embeddings in float32.

    Returns:
        The tensors, and the share of GELU's range that was kept.
    """
    rows = evenly(rows, CALIBRATION_ROWS)
    ranges = ranges_of(module, rows, filler)
    compared = evenly(rows, COMPARED_ROWS)
    wanted = logits_of(module, compared, filler)
    best: tuple[float, float, dict[str, Tensor]] | None = None
    for cut in CUTS:
        tensors = quantize(module, ranges, cut, precise_embeddings)
        found = logits_of(assemble(module.shape, tensors), compared, filler)
        error = float(np.square(found - wanted).mean())
        if best is None or error < best[0]:
            best = (error, cut, tensors)
    assert best is not None
    return best[2], best[1]


def static_hindrance(module: nn.Module) -> str | None:
    """Why a module has no static int8 form here, if it has none."""
    if not isinstance(module, PackedBert):
        return f"{type(module).__name__} has no static int8 form, only BERT, RoBERTa and DistilBERT encoders do"
    if not torch.cpu._is_vnni_supported():
        # Without VNNI the kernels add pairs of products in 16 bits, which overflow.
        return "this processor has no AVX-512 VNNI instructions"
    return None


def ranges_of(module: PackedBert, rows: Sequence[Sequence[int]], filler: int) -> dict[str, Range]:
    """The least and the greatest input of every linear layer, by channel: name to two (channels,) tensors."""
    found: dict[str, Range] = {}

    def observe(name: str, inputs: tuple[Tensor, ...]) -> None:
        states = inputs[0].flatten(0, -2)
        low, high = states.amin(0), states.amax(0)
        if name in found:
            low, high = torch.minimum(low, found[name][0]), torch.maximum(high, found[name][1])
        found[name] = low, high

    hooks = [
        child.register_forward_pre_hook(lambda _, inputs, name=name: observe(name, inputs))
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear)
    ]
    try:
        logits_of(module, rows, filler, "calibration")
    finally:
        for hook in hooks:
            hook.remove()
    return found


def quantize(module: PackedBert, ranges: dict[str, Range], cut: float, precise_embeddings: bool) -> dict[str, Tensor]:
    """Weights, scales and ranges of a :class:`StaticInt8Bert`, as :func:`assemble` takes them."""
    tensors: dict[str, Tensor] = {}

    def keep(name: str, *parts: str) -> None:
        child = module.get_submodule(name)
        tensors.update({f"{name}.{part}": getattr(child, part).detach().float() for part in parts})

    def store(name: str, weight: Tensor, bias: Tensor) -> None:
        rows, scales = rows_and_scales(weight)
        tensors.update({f"{name}.rows": rows, f"{name}.scales": scales.squeeze(1), f"{name}.bias": bias})

    def store_with_range(name: str, weight: Tensor, bias: Tensor) -> None:
        """Quantize a product whose input is brought into steps first."""
        centres, steps = _centres_and_steps(ranges[name])
        store(name, weight * steps, bias)
        # Not bias + weight @ centres: an input of 0 must give the bias exactly, however the weights were rounded.
        rounded = tensors[f"{name}.rows"].float() * tensors[f"{name}.scales"].unsqueeze(1)
        tensors[f"{name}.bias"] = bias + rounded @ (centres / steps)
        tensors.update({f"{name}.centres": centres, f"{name}.steps": steps})

    if precise_embeddings:
        keep("word_embeddings", "weight")
    else:
        rows, scales = rows_and_scales(module.word_embeddings.weight)
        tensors.update({"word_embeddings.rows": rows, "word_embeddings.scales": scales})
    keep("position_embeddings", "weight")
    keep("embedding_norm", "weight", "bias")
    for index in range(len(module.layers)):
        layer = f"layers.{index}."
        keep(layer + "attention_norm", "weight", "bias")
        keep(layer + "output_norm", "weight", "bias")
        centres, steps = _centres_and_steps(ranges[layer + "attention_output"])
        weight, bias = _weight_and_bias(module, layer + "query_key_value")
        attended = weight.size(0) // 3
        weight, bias = weight.clone(), bias.clone()
        # Scores are scaled, and attention's output comes in steps, without anything to compute for it.
        weight[:attended] *= module.shape.head_size**-0.5
        bias[:attended] *= module.shape.head_size**-0.5
        weight[2 * attended :] /= steps.unsqueeze(1)
        bias[2 * attended :] = (bias[2 * attended :] - centres) / steps
        store_with_range(layer + "query_key_value", weight, bias)
        store_with_range(layer + "attention_output", *_weight_and_bias(module, layer + "attention_output"))
        store_with_range(layer + "up", *_weight_and_bias(module, layer + "up"))
        store(layer + "down", *_weight_and_bias(module, layer + "down"))
        low, high = (float(end) for end in (ranges[layer + "down"][0].min(), ranges[layer + "down"][1].max() * cut))
        tensors[layer + "down.input_scale"] = torch.tensor(max(high - low, 255 * SMALLEST_STEP) / 255)
        tensors[layer + "down.input_zero_point"] = (-low / tensors[layer + "down.input_scale"]).round().to(torch.int32)
    store_with_range("head", *_weight_and_bias(module, "head"))
    keep("classifier", "weight", "bias")
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def evenly(rows: Sequence[Sequence[int]], count: int) -> list[Sequence[int]]:
    """At most ``count`` of the rows, from all over them."""
    return [rows[index * len(rows) // count] for index in range(count)] if len(rows) > count else list(rows)


def _centres_and_steps(ends: Range) -> Range:
    low, high = ends
    return (low + high) / 2, (MARGIN * (high - low) / 255).clamp_min(SMALLEST_STEP)


def _weight_and_bias(module: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    linear = module.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    return linear.weight.detach().float(), linear.bias.detach().float()
