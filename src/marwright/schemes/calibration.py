"""Static quantization: what range each activation has on real rows, and the int8 weights that go with it.

Each channel of a layer's input gets a centre and a scale of its own, which the weights of the layer take up: with all
of an activation's spread moved into the weights, this is SmoothQuant (Xiao et al. 2023) at a strength of 1. What
leaves GELU keeps one scale for all channels, since it is quantized where it is made; its rare large values are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from marwright.encoder.encoder import Encoder
from marwright.encoder.logits import logits_of
from marwright.schemes.int8_rows import rows_and_scales
from marwright.schemes.scheme import Weights

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


def ranges_of(module: Encoder, rows: Sequence[Sequence[int]], filler: int) -> dict[str, Range]:
    """The least and the greatest input of every linear layer, by channel: name to two (channels,) tensors."""
    names = {child: name for name, child in module.named_modules() if isinstance(child, nn.Linear)}
    found: dict[str, Range] = {}

    def observe(linear: nn.Linear, inputs: tuple[Tensor, ...]) -> None:
        name, states = names[linear], inputs[0].flatten(0, -2)
        low, high = states.amin(0), states.amax(0)
        if name in found:
            low, high = torch.minimum(low, found[name][0]), torch.maximum(high, found[name][1])
        found[name] = low, high

    with ExitStack() as hooks:
        for linear in names:
            hooks.enter_context(linear.register_forward_pre_hook(observe))
        logits_of(module, rows, filler, "calibration")
    return found


def quantize(module: Encoder, ranges: dict[str, Range], cut: float, *, int8_embeddings: bool) -> Weights:
    """Weights, scales and ranges of a float32 encoder with fixed scales, from the ranges of its linear layers' inputs.

    ``cut`` is the share of GELU's largest value that is kept.
    """
    made = _Quantizer(module, ranges, cut)
    if int8_embeddings:
        rows, scales = rows_and_scales(module.embeddings.word_embeddings.weight)  # type: ignore[arg-type]
        made.tensors |= {"embeddings.word_embeddings.rows": rows, "embeddings.word_embeddings.scales": scales}
    else:
        made.keep("embeddings.word_embeddings", "weight")
    made.keep("embeddings.position_embeddings", "weight")
    made.keep("embeddings.norm", "weight", "bias")
    for index, own in enumerate(module.shape.layers[:-1]):
        asked, after_attention = f"layers.{index}.query_key_value.linear", f"layers.{index}.after_attention"
        made.product(asked, *made.in_steps(asked, own.heads * module.shape.head_size, after_attention))
        made.after_attention(after_attention)
    made.last_attention()
    made.after_attention("last.after_attention")
    made.product("head.dense", *_weight_and_bias(module, "head.dense"))
    made.keep("head.classifier", "weight", "bias")
    embeddings = ("embeddings.word_embeddings",) if int8_embeddings else ()
    tensors = {name: tensor.contiguous() for name, tensor in made.tensors.items()}
    return Weights(tensors, tuple(made.linears), embeddings)


class _Quantizer:
    """Collects the tensors of a quantized encoder, part by part."""

    def __init__(self, module: Encoder, ranges: dict[str, Range], cut: float) -> None:
        self.module = module
        self.ranges = ranges
        self.cut = cut
        self.tensors: dict[str, Tensor] = {}
        self.linears: list[str] = []

    def keep(self, name: str, *parts: str) -> None:
        """Keep what stays in float32."""
        child = self.module.get_submodule(name)
        self.tensors.update({f"{name}.{part}": getattr(child, part).detach().float() for part in parts})

    def product(self, name: str, weight: Tensor, bias: Tensor, found: Range | None = None) -> None:
        """Quantize a product whose input is brought into steps first."""
        centres, steps = _centres_and_steps(found or self.ranges[name])
        self._store(name, weight * steps, bias)
        # Not bias + weight @ centres: an input of 0 must give the bias exactly, however the weights were rounded.
        rounded = self.tensors[f"{name}.rows"].float() * self.tensors[f"{name}.scales"].unsqueeze(1)
        self.tensors[f"{name}.bias"] = bias + rounded @ (centres / steps)
        self.tensors.update({f"{name}.centres": centres, f"{name}.steps": steps})

    def last_attention(self) -> None:
        """Quantize the last layer's: all tokens are asked, so that their range holds for the first ones' queries."""
        asked = "last.key_value.linear"
        self.product(asked, *self.in_steps(asked, 0, "last.after_attention"))
        scale = self.module.shape.head_size**-0.5
        weight, bias = _weight_and_bias(self.module, "last.query.linear")
        self.product("last.query.linear", weight * scale, bias * scale, self.ranges[asked])

    def after_attention(self, name: str) -> None:
        """Quantize what follows attention."""
        self.keep(name + ".attention_norm", "weight", "bias")
        self.keep(name + ".output_norm", "weight", "bias")
        for part in (".attention_output", ".up"):
            self.product(name + part, *_weight_and_bias(self.module, name + part))
        down = name + ".down"
        self._store(down, *_weight_and_bias(self.module, down))
        low, high = (float(end) for end in (self.ranges[down][0].min(), self.ranges[down][1].max() * self.cut))
        scale = torch.tensor(max(high - low, 255 * SMALLEST_STEP) / 255)
        zero_point = (-low / scale).round().to(torch.int32)
        self.tensors |= {f"{down}.input_scale": scale, f"{down}.input_zero_point": zero_point}

    def in_steps(self, name: str, queries: int, after_attention: str) -> tuple[Tensor, Tensor]:
        """Queries scaled and values in steps of attention's output, so that nothing is left to compute for it."""
        weight, bias = (part.clone() for part in _weight_and_bias(self.module, name))
        weight[:queries] *= self.module.shape.head_size**-0.5
        bias[:queries] *= self.module.shape.head_size**-0.5
        centres, steps = _centres_and_steps(self.ranges[after_attention + ".attention_output"])
        values = len(bias) - len(steps)
        weight[values:] /= steps.unsqueeze(1)
        bias[values:] = (bias[values:] - centres) / steps
        return weight, bias

    def _store(self, name: str, weight: Tensor, bias: Tensor) -> None:
        rows, scales = rows_and_scales(weight)
        self.tensors.update({f"{name}.rows": rows, f"{name}.scales": scales.squeeze(1), f"{name}.bias": bias})
        self.linears.append(name)


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
