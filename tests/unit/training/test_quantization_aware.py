"""Fake quantization rounds as the real int8 layers do, lets gradients through, and leaves no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import tiny_run
from encoder_cases import rows_of
from marwright.config import CompressionConfig, ExportConfig, QuantizationAwareConfig
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.encoder.kept_parts import KeptParts
from marwright.errors import CompressionError
from marwright.files import read_json, stable_json, write_text
from marwright.pretrained.tokenization import padded
from marwright.schemes import SCHEMES, STATIC, Texts
from marwright.schemes.int8_rows import Int8Embedding, Int8Linear, quantize_linears
from marwright.schemes.rounding import ChannelSteps, OneScale, RoundedLinear, TokenScales, token_roundings
from marwright.schemes.static_layers import ChannelRange
from marwright.schemes.static_linear import StaticInt8Linear
from marwright.training.fake_quantization import rounding
from marwright.training.structure import put_back, remove_all_but
from marwright.training.tuned import _roundings, tune
from marwright.workspace import ModelFolder
from pruned_models import KEPT, classifier, logits
from tiny_models import POSITIONS, save_tiny_classifier

VNNI = pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="static int8 needs AVX-512 VNNI")


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def linear() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(32, 48)


# --- one layer ---------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_with_a_scale_per_token_it_computes_what_the_int8_layer_computes() -> None:
    layer, states = linear(), normal(3, 7, 32)
    real = Int8Linear.from_float(layer)(states)
    fake = RoundedLinear(layer, TokenScales())(states)

    # A value at the edge of a step may fall to either side; a step is worth 0.01 here.
    assert (fake - real).abs().max() < 0.01
    assert (fake - real).square().mean() < 0.01 * (layer(states) - real).square().mean()


@VNNI
@torch.inference_mode()
def test_with_ranges_it_computes_what_the_static_layer_computes() -> None:
    layer, states = linear(), 3 + 2 * normal(20, 32)
    centres, steps = states.mean(0), states.std(0) / 40  # values beyond 3 deviations are cut
    weight = layer.weight * steps
    scales = weight.abs().amax(1) / 127
    rows = (weight / scales.unsqueeze(1)).round().to(torch.int8)
    bias = layer.bias + (rows.float() * scales.unsqueeze(1)) @ (centres / steps)
    real = StaticInt8Linear(rows, scales, bias)(ChannelRange(centres, steps)(states))
    fake = RoundedLinear(layer, ChannelSteps(centres, steps))(states)

    assert (fake - real).square().mean() < 0.01 * (layer(states) - real).square().mean()


@VNNI
@torch.inference_mode()
def test_what_leaves_gelu_has_one_scale() -> None:
    layer, states = linear(), nn.functional.gelu(3 * normal(20, 32))
    scales = layer.weight.abs().amax(1) / 127
    rows = (layer.weight / scales.unsqueeze(1)).round().to(torch.int8)
    real = StaticInt8Linear(rows, scales, layer.bias, 0.02, 9)(states)
    fake = RoundedLinear(layer, OneScale(0.02, 9))(states)

    assert (fake - real).square().mean() < 0.01 * (layer(states) - real).square().mean()


@torch.inference_mode()
def test_rounding_what_an_embedding_gives_is_rounding_its_table() -> None:
    table = nn.Embedding(50, 32, _weight=normal(50, 32))
    ids = torch.arange(12).view(3, 4)

    torch.testing.assert_close(TokenScales()(table(ids)), Int8Embedding.from_float(table)(ids), atol=1e-6, rtol=0)


def test_gradients_go_straight_through_but_not_where_a_value_is_cut() -> None:
    layer = linear()
    states = normal(4, 32).clamp(-2, 2).requires_grad_()
    with torch.no_grad():
        states[0, 5] = 100
    rounded = RoundedLinear(layer, ChannelSteps(torch.zeros(32), torch.full((32,), 0.02)))
    rounded(states).sum().backward()

    assert states.grad is not None
    assert states.grad[0, 5] == 0
    expected = layer.weight.sum(0)
    torch.testing.assert_close(states.grad[1], expected, atol=0.05, rtol=0)
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad[0], states.detach().clamp(-2.56, 2.54).sum(0), atol=0.05, rtol=0)


# --- whole models ------------------------------------------------------------------------------------------------


@pytest.fixture
def moderate(tmp_path: Path) -> Path:
    """A classifier whose attention is not as sharp as random weights make it."""
    folder = save_tiny_classifier(tmp_path / "whole", "bert", hidden_size=64, intermediate_size=128)
    model = classifier(folder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "query" in name:
                parameter.mul_(0.2)
    model.save_pretrained(folder)
    return folder


def differences(module: nn.Module, model: Any, roundings: Any) -> tuple[float, float]:
    """Mean squared difference of the real int8 module to the float model, and to the one that pretends."""
    batch = padded(rows_of([1 + at % POSITIONS for at in range(60)], seed=5), 1)
    with torch.inference_mode():
        real = module(*batch)
    exact = logits(model, *batch)
    with rounding(model, roundings, embeddings=False):
        fake = logits(model, *batch)
    assert torch.equal(logits(model, *batch), exact)
    return float((real - exact).square().mean()), float((real - fake).square().mean())


@VNNI
def test_the_whole_model_rounds_as_its_static_form(moderate: Path) -> None:
    module, model = load_module(moderate, "script"), classifier(moderate)
    assert isinstance(module, Encoder)
    rows = rows_of([1 + at % POSITIONS for at in range(200)], seed=3)
    scheme, texts = SCHEMES[STATIC], Texts(rows, 1)
    static = scheme.build(module, scheme.fit(module, texts, int8_embeddings=False).weights)
    roundings = scheme.roundings(model, module, texts, int8_embeddings=False)
    to_float, to_fake = differences(static, model, roundings)

    assert to_fake < 0.5 * to_float


def test_the_whole_model_rounds_as_its_dynamic_form(moderate: Path) -> None:
    module, model = load_module(moderate, "script"), classifier(moderate)
    quantize_linears(module, frozenset({"classifier"}))
    to_float, to_fake = differences(module, model, token_roundings(model))

    assert to_fake < 0.5 * to_float


def test_a_models_state_is_named_as_before_while_it_rounds(moderate: Path) -> None:
    model = classifier(moderate)
    before = list(model.state_dict())
    with rounding(model, token_roundings(model), embeddings=True):
        assert list(model.state_dict()) == before
        assert sum(isinstance(child, RoundedLinear) for child in model.modules()) == 3 * 6 + 1
    assert not any(isinstance(child, RoundedLinear) for child in model.modules())


# --- the station -------------------------------------------------------------------------------------------------


def test_a_module_without_the_form_that_is_asked_for(tmp_path: Path) -> None:
    model = ModelFolder(tmp_path)
    save_tiny_classifier(model.checkpoint, "bert")
    config = CompressionConfig.model_validate({"activations": "static", "quantization_aware": {}})

    with pytest.raises(CompressionError, match=r"quantization_aware is not possible.*Write `activations: auto`"):
        _roundings(config, ExportConfig(method="trace"), None, model, Texts((), 0))


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["auto", "dynamic"])
def test_a_tuned_model_is_in_float_and_says_what_it_was_before(
    tmp_path: Path, activations: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run.trained(tmp_path / "run")
    np.save(run.teacher.logits("train"), np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32))
    write_text(run.student.metrics, stable_json({split: {"accuracy": 0.25} for split in ("validation", "test")}))
    # One that was pruned: what was removed must not come back.
    small, whole = classifier(run.student.checkpoint), classifier(run.student.checkpoint)
    remove_all_but(small, KEPT)
    put_back(whole, small, KEPT)
    whole.save_pretrained(run.student.checkpoint)
    KEPT.write(run.student.checkpoint)

    output = tmp_path / "tuned"
    output.mkdir()
    training = QuantizationAwareConfig(epochs=1, learning_rate=1e-3, freeze_word_embeddings=False)
    settings = CompressionConfig.model_validate({"activations": activations, "quantization_aware": training})
    tune(
        settings,
        ExportConfig(),
        run.data,
        run.teacher,
        run.student,
        max_length=tiny_run.LONGEST,
        seed=1,
        output=output,
        work=tmp_path / "work",
    )
    folder = ModelFolder(output)
    weights, before = (load_file(each.checkpoint / "model.safetensors") for each in (folder, run.student))
    up = "bert.encoder.layer.1.intermediate.dense.weight"

    assert list(weights) == list(before)
    assert not torch.equal(weights[up], before[up])
    assert torch.equal(weights[up] == 0, before[up] == 0)
    assert KeptParts.read(folder.checkpoint) == KEPT
    about = read_json(folder.metrics)["quantization_aware"]
    module = load_module(folder.checkpoint, "script")
    static = activations == "auto" and SCHEMES[STATIC].hindrance(module) is None
    assert about["scheme"] == ("int8-static" if static else "int8-dynamic")
    assert about["test"] == {"accuracy": 0.25}
    assert "before it was tuned: test accuracy 25.00%" in capsys.readouterr().err
