"""The int8 module with fixed scales: its parts compute what they say, and the whole answers as the float module."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from encoder_cases import FAMILIES, batch_of, rows_of
from marwright.compression.choosing import Measured, choose
from marwright.compression.station import compress
from marwright.config import CompressionConfig, ExportConfig
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.encoder.packing import arrange, idle_tokens, pack, text_of_token, within_budget
from marwright.encoder.real_tokens import RealTokens, RealTokensLayout, mask_for
from marwright.errors import CompressionError
from marwright.files import read_json, write_text
from marwright.runtimes import jit
from marwright.schemes import SCHEMES, STATIC, Texts
from marwright.schemes.static_layers import ChannelRange
from marwright.schemes.static_linear import StaticInt8Linear, cut_to_bytes_
from marwright.workspace import CompressedFolder, DataFolder, ModelFolder
from tiny_models import POSITIONS, VOCABULARY, save_tiny_classifier, tiny_tokenizer

pytestmark = pytest.mark.skipif(
    not torch.cpu._is_vnni_supported(), reason="static int8 needs a processor with AVX-512 VNNI"
)
# Few tokens and many take different kernels.
BATCHES = {
    "one text": (11,),
    "one token": (1,),
    "a few, mixed": (3, 9, 5),
    "many, mixed": (7, 1, 40, 2, 13, 13, 5, 28, 31, 16),
    "many of one length": (16,) * 8,
    "more than one run": tuple(range(2, 40)) * 2,
}


# --- products ----------------------------------------------------------------------------------------------------


def linear(scale: float = 0.02, zero_point: int = 128) -> tuple[StaticInt8Linear, Tensor]:
    """A layer and the float weights it stands for."""
    torch.manual_seed(0)
    rows = torch.randint(-127, 128, (48, 32), dtype=torch.int8)
    scales = torch.rand(48) * 0.01
    return StaticInt8Linear(rows, scales, torch.randn(48), scale, zero_point), rows.float() * scales.unsqueeze(1)


def expected(layer: StaticInt8Linear, weights: Tensor, states: Tensor) -> Tensor:
    steps = (states / layer.input_scale).round() + layer.input_zero_point
    rounded = (steps.clamp(0, 255) - layer.input_zero_point) * layer.input_scale
    return functional.linear(rounded, weights, layer.bias)


@pytest.mark.parametrize("zero_point", [128, 8])
def test_both_kernels_compute_the_same_rounded_product(zero_point: int) -> None:
    layer, weights = linear(zero_point=zero_point)
    states = torch.randn(5, 32).abs()
    wanted = expected(layer, weights, states)
    quantized = ((states / 0.02).round() + zero_point).clamp(0, 255).to(torch.uint8)

    torch.testing.assert_close(layer(states), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.product(quantized, torch.float32), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.product(quantized, torch.bfloat16).float(), wanted, atol=0.02, rtol=0.01)


def test_gelu_is_quantized_and_the_residual_added_within_the_product() -> None:
    layer, weights = linear()
    states, residual = torch.randn(5, 32), torch.randn(5, 48)
    wanted = expected(layer, weights, states)
    quantized = cut_to_bytes_(states / 0.02 + 128.5)

    gelu = (layer.gelu_to_bytes(quantized, 0.05, 4).float() - 4) * 0.05
    torch.testing.assert_close(gelu, functional.gelu(wanted), atol=0.0251, rtol=0)
    torch.testing.assert_close(layer.add_product_(residual.clone(), quantized), residual + wanted, atol=1e-5, rtol=0)


def test_values_beyond_the_range_are_cut_not_wrapped_around() -> None:
    values = torch.tensor([[-1000.0, -128.4, -0.6, -0.4, 0.4, 0.6, 126.6, 1000.0]])

    wanted = [[0, 0, 127, 128, 128, 129, 255, 255]]
    assert cut_to_bytes_(values + 128.5).tolist() == wanted
    assert cut_to_bytes_(ChannelRange(torch.zeros(8), torch.ones(8)).shifted(values)).tolist() == wanted


# --- layout and attention ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_every_token_has_a_place_of_its_own_and_sees_its_own_text_only(seed: int) -> None:
    choice = random.Random(seed)
    lengths = sorted(choice.randint(1, 50) for _ in range(choice.randint(2, 20)))
    rows = arrange(lengths)
    if lengths[0] == lengths[-1]:
        assert rows.gather.numel() == 0
        return
    text = text_of_token(torch.tensor(lengths)).tolist()
    places = rows.places.tolist()

    assert len(set(places)) == sum(lengths)
    assert rows.gather[rows.places].tolist() == list(range(sum(lengths)))
    owner = {place: text[token] for token, place in enumerate(places)}
    for row in range(rows.number):
        for one in range(rows.width):
            for other in range(rows.width):
                mine, theirs = (owner.get(row * rows.width + place, -1) for place in (one, other))
                assert (rows.mask[row, 0, one, other].item() == 0) == (mine == theirs)


def plain_attention(projected: Tensor, lengths: list[int], heads: int) -> Tensor:
    """Softmax attention, text by text and head by head."""
    found = []
    for text in projected.split(lengths):
        query, key, value = (part.view(len(text), heads, -1).transpose(0, 1) for part in text.chunk(3, dim=1))
        weights = (query @ key.transpose(1, 2)).softmax(2)
        found.append((weights @ value).transpose(0, 1).reshape(len(text), -1))
    return torch.cat(found)


def places_of(lengths: list[int], *, idle: int = 0, half: bool = False) -> RealTokens:
    """Texts of these lengths, laid out for three heads."""
    rows = arrange(lengths, idle)
    nothing = torch.zeros(sum(lengths) + idle, dtype=torch.int64)
    masks = {3: mask_for(rows.mask, 3, half)}
    sizes = torch.tensor(lengths)
    return RealTokens(nothing, nothing, sizes, rows.number, rows.width, rows.gather, rows.places, masks, half, False)


@pytest.mark.parametrize("lengths", [[1, 4, 4, 17, 30], [9, 9, 9], [33], [1, 1, 2]])
def test_attention_in_rows_is_attention_within_each_text(lengths: list[int]) -> None:
    torch.manual_seed(1)
    projected = torch.randn(sum(lengths), 3 * 24)
    scaled = projected.clone()
    scaled[:, :24] *= 2
    wanted = plain_attention(projected, lengths, 3)
    layout = RealTokensLayout([3])
    with_idle = layout.attend(functional.pad(projected, (0, 0, 0, 5)), places_of(lengths, idle=5), 3, 1.0)
    torch.testing.assert_close(with_idle[: sum(lengths)], wanted, atol=1e-5, rtol=0)

    places, halved = places_of(lengths), places_of(lengths, half=True)
    for states, scale in ((projected, 1.0), (scaled, 0.5)):
        torch.testing.assert_close(layout.attend(states, places, 3, scale), wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(layout.attend(states, halved, 3, scale), wanted, atol=0.05, rtol=0.02)
        in_half = layout.attend(states.bfloat16(), halved, 3, scale)
        torch.testing.assert_close(in_half, wanted, atol=0.05, rtol=0.02)
        firsts = torch.tensor([0, *lengths]).cumsum(0)[:-1]
        from_first = layout.attend_from_first(states[firsts, :24], states[:, 24:], places, 3, scale)
        torch.testing.assert_close(from_first, wanted[firsts], atol=1e-5, rtol=0)


def test_token_numbers_are_rounded_up_to_few_different_ones() -> None:
    rounded = {tokens + idle_tokens(tokens) for tokens in range(64, 513)}

    assert len(rounded) <= 41
    assert all(tokens <= tokens + idle_tokens(tokens) < 1.1 * tokens + 1 for tokens in range(64, 513))


@pytest.mark.parametrize("size", [1e3, -1e3])
def test_scores_beyond_all_bounds_give_finite_answers(size: float) -> None:
    lengths = [5, 40]
    projected = torch.randn(45, 3 * 24) + 1
    projected[:, :48] *= abs(size)
    projected[:, :24] *= size
    places, layout = places_of(lengths, half=True), RealTokensLayout([3])

    for states in (projected.bfloat16(), projected):
        found = layout.attend(states, places, 3, 1.0)
        assert bool(torch.isfinite(found).all())
        assert bool((found <= projected[:, 48:].amax() + 0.1).all())


def test_runs_keep_the_budget_and_lose_no_text() -> None:
    assert within_budget([3, 4, 5, 6, 30], 12) == [(0, 3), (3, 4), (4, 5)]
    assert within_budget([40], 12) == [(0, 1)]
    packed = pack(*batch_of((4, 2, 3)))
    assert packed.lengths.tolist() == [2, 3, 4]
    assert packed.order.tolist() == [1, 2, 0]
    assert packed.positions.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 3]


# --- the module --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=FAMILIES)
def floating(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    shape = (
        {"dim": 64, "hidden_dim": 128}
        if request.param == "distilbert"
        else {"hidden_size": 64, "intermediate_size": 128}
    )
    folder = save_tiny_classifier(tmp_path_factory.mktemp(request.param), request.param, **shape)
    module = load_module(folder, "script")
    assert isinstance(module, Encoder)
    with torch.no_grad():
        for layer in module.layers:
            # Random queries would see one token each, and that one by chance: a trained encoder's scores are moderate.
            layer.query_key_value.linear.weight[:64] *= 0.2
        module.last.query.linear.weight *= 0.2
    return module


@pytest.fixture(scope="module")
def calibration() -> list[list[int]]:
    choice = random.Random(3)
    return rows_of([choice.randint(1, POSITIONS) for _ in range(200)], seed=3)


@pytest.fixture(scope="module")
def static(floating: Encoder, calibration: list[list[int]]) -> nn.Module:
    scheme = SCHEMES[STATIC]
    return scheme.build(floating, scheme.fit(floating, Texts(calibration, 1), int8_embeddings=True).weights)


def test_calibration_sees_no_token_that_belongs_to_no_text(floating: Encoder) -> None:
    seen: list[int] = []
    up = floating.layers[0].get_submodule("after_attention.up")
    hook = up.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    with torch.inference_mode():
        floating(*batch_of(BATCHES["many, mixed"]))
    hook.remove()

    assert seen == [sum(BATCHES["many, mixed"])]


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES)
def test_it_answers_as_the_float_module(floating: Encoder, static: nn.Module, lengths: tuple[int, ...]) -> None:
    ids, mask = batch_of(lengths)
    with torch.inference_mode():
        wanted, found = floating(ids, mask), static(ids, mask)

    assert found.shape == wanted.shape
    error = (found - wanted).square().mean().sqrt()
    assert error < 0.2 * wanted.std().clamp_min(0.5)


def test_an_answer_does_not_depend_on_the_batch(static: nn.Module) -> None:
    lengths = BATCHES["many, mixed"]
    ids, mask = batch_of(lengths)
    with torch.inference_mode():
        together = static(ids, mask)
        alone = torch.cat(
            [static(ids[at : at + 1, :length], mask[at : at + 1, :length]) for at, length in enumerate(lengths)]
        )

    # bfloat16 scores in the one, float32 in the other; a value next to a rounding edge may fall to either side.
    assert (alone - together).abs().max() < 0.05 * together.std()
    assert alone.argmax(1).tolist() == together.argmax(1).tolist()


def test_a_saved_module_packs_its_weights_again_and_answers_the_same(static: nn.Module, tmp_path: Path) -> None:
    example = batch_of((5, 3))
    jit.save(jit.to_torchscript(static, example, script=True), tmp_path / "model.pt")
    loaded = jit.load(tmp_path / "model.pt")

    with torch.inference_mode():
        for lengths in BATCHES.values():
            ids, mask = batch_of(lengths)
            torch.testing.assert_close(loaded(ids, mask), static(ids, mask), atol=1e-4, rtol=0)


# --- the choice --------------------------------------------------------------------------------------------------


def test_the_fastest_is_chosen_of_those_that_answer_alike() -> None:
    slow, fast, wrong = Measured(0.995, 20.0), Measured(0.992, 10.0), Measured(0.97, 5.0)

    assert choose({"dynamic": slow, "static": fast}) == "static"
    assert choose({"dynamic": slow, "static": wrong}) == "dynamic"
    assert choose({"dynamic": fast, "static": slow}) == "dynamic"


@pytest.mark.slow
def test_the_station_measures_both_and_says_what_it_took(tmp_path: Path) -> None:
    student = ModelFolder(tmp_path / "student")
    save_tiny_classifier(student.checkpoint, "bert", vocab_size=VOCABULARY)
    tiny_tokenizer().save(str(student.tokenizer))
    data = DataFolder(tmp_path / "data")
    texts = Dataset.from_dict({"text": [f"{'of the and ' * (n % 9)}tea" for n in range(60)]})
    DatasetDict({"train": texts, "validation": texts}).save_to_disk(str(data.splits))
    write_text(data.card, "{}")
    for wanted in ("auto", "static", "dynamic"):
        output = tmp_path / wanted
        output.mkdir()
        compress(CompressionConfig(activations=wanted), ExportConfig(), data, student, output=output)
        plan = read_json(CompressedFolder(output).plan)["cpu"]

        static = "head.dense.steps" in load_file(CompressedFolder(output).cpu)
        assert static == (plan["scheme"] == "int8-static")
        if wanted == "auto":
            found = {name: Measured(**each) for name, each in plan["candidates"].items()}
            assert plan["scheme"] == choose(found)
        else:
            assert plan["scheme"] == f"int8-{wanted}"


def test_static_scales_for_another_architecture_are_refused(tmp_path: Path) -> None:
    student = ModelFolder(tmp_path / "student")
    save_tiny_classifier(student.checkpoint, "bert", vocab_size=VOCABULARY)
    settings = CompressionConfig(activations="static")

    with pytest.raises(CompressionError, match="HuggingFaceClassifier has no static int8 form"):
        compress(settings, ExportConfig(method="trace"), DataFolder(tmp_path), student, output=tmp_path)
