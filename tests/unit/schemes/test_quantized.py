"""Int8 layers: close to the float ones within the bound that rounding sets, and exactly the same from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from marwright.compression.station import compress
from marwright.config import CompressionConfig, ExportConfig
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import HuggingFaceClassifier, load_module
from marwright.files import read_json
from marwright.pretrained.tokenization import padded
from marwright.runtimes import jit
from marwright.schemes.int8_rows import (
    KEPT_IN_FLOAT,
    Int8Embedding,
    Int8Linear,
    give_back,
    quantize_embeddings,
    quantize_linears,
    tensors_of,
)
from marwright.schemes.scheme import Weights
from marwright.schemes.stored import read_weights
from marwright.workspace import CompressedFolder, DataFolder, ModelFolder
from tiny_models import save_tiny_classifier

# Large enough for its embeddings to become int8.
VOCABULARY = 5000
METHODS = ("script", "trace")
# Dynamic scales need no rows.
NO_DATA = DataFolder(Path("nowhere"))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(inputs, outputs, bias=bias)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(4, VOCABULARY, (n,), generator=generator).tolist() for n in (9, 1, 30, 4)]
    return padded(rows, 0)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    folder = ModelFolder(tmp_path_factory.mktemp("student"))
    save_tiny_classifier(folder.checkpoint, "bert", vocab_size=VOCABULARY)
    return folder


# --- linear layers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 16, 7), (3, 384, 5), (17, 33, 12), (64, 128, 96)], ids=str)
@torch.inference_mode()
def test_a_linear_layer_errs_no_more_than_rounding_explains(shape: tuple[int, int, int]) -> None:
    tokens, inputs, outputs = shape
    exact, states = linear(inputs, outputs), normal(tokens, inputs)
    error = (Int8Linear.from_float(exact)(states) - exact(states)).abs()

    # Each state is off by at most half of its token's scale, each weight by half of its channel's.
    state_scale = states.abs().amax(1, keepdim=True) / 127
    weight_scale = exact.weight.abs().amax(1) / 127
    bound = states.abs().sum(1, keepdim=True) * weight_scale / 2 + state_scale * exact.weight.abs().sum(1) / 2
    bound += inputs * state_scale * weight_scale / 4
    assert (error <= bound * 1.001 + 1e-5).all()


@torch.inference_mode()
def test_whole_numbers_up_to_127_are_multiplied_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    exact = linear(64, 8, bias=False)
    exact.weight.copy_(torch.randint(-127, 128, (8, 64), generator=generator))
    exact.weight[:, 0] = 127
    states = torch.randint(-127, 128, (5, 64), generator=generator).float()
    states[:, 1] = -127

    assert torch.allclose(Int8Linear.from_float(exact)(states), exact(states), rtol=1e-6, atol=0.01)


@torch.inference_mode()
def test_a_tokens_result_is_the_same_bytes_whatever_stands_beside_it() -> None:
    layer = Int8Linear.from_float(linear(48, 20))
    states = normal(9, 48)
    loud = torch.cat([states, 1e4 * normal(3, 48, seed=1)])

    assert torch.equal(layer(loud)[:9], layer(states))
    assert torch.equal(torch.cat([layer(states[i : i + 1]) for i in range(9)]), layer(states))


@torch.inference_mode()
def test_a_linear_layer_takes_states_of_any_rank() -> None:
    layer = Int8Linear.from_float(linear(48, 20))
    states = normal(2, 3, 48)

    assert torch.equal(layer(states), layer(states.view(6, 48)).view(2, 3, 20))
    assert torch.equal(layer(states[0, 0]), layer(states)[0, 0])


@torch.inference_mode()
def test_a_token_of_zeros_gives_the_bias_and_one_that_is_not_a_number_is_not_hidden() -> None:
    exact = linear(16, 4)
    states = torch.zeros(3, 16)
    states[1, 5] = float("nan")
    result = Int8Linear.from_float(exact)(states)

    assert torch.equal(result[0], exact.bias)
    assert result[1].isnan().all()
    assert torch.equal(result[2], exact.bias)


@torch.inference_mode()
def test_a_layer_without_bias_and_with_a_dead_channel_is_quantized_too() -> None:
    exact = linear(16, 4, bias=False)
    exact.weight[2] = 0
    states = normal(5, 16)
    result = Int8Linear.from_float(exact)(states)

    assert (result[:, 2] == 0).all()
    assert torch.allclose(result, exact(states), atol=0.05)


# --- embeddings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.001, 1.0, 1000.0])
def test_an_embedding_errs_no_more_than_half_a_step_of_its_row(size: float) -> None:
    embedding = nn.Embedding(50, 12, _weight=size * normal(50, 12) * torch.logspace(-3, 0, 50)[:, None])
    ids = torch.arange(50).view(5, 10)
    error = (Int8Embedding.from_float(embedding)(ids) - embedding(ids)).abs()
    step = embedding(ids).abs().amax(-1, keepdim=True) / 127

    assert (error <= step * 0.501).all()


def test_an_embedding_is_a_quarter_of_the_size() -> None:
    embedding = nn.Embedding(100, 64)
    tensors = Int8Embedding.from_float(embedding).state_dict().values()

    assert sum(t.numel() * t.element_size() for t in tensors) == 100 * (64 + 4)


def test_a_row_of_zeros_stays_zero() -> None:
    embedding = nn.Embedding(3, 4, padding_idx=0)

    assert (Int8Embedding.from_float(embedding)(torch.tensor([0])) == 0).all()


def test_an_embedding_for_gpus_gives_half_precision_without_losing_small_rows() -> None:
    embedding = nn.Embedding(2, 8, _weight=1e-4 * normal(2, 8))
    result = Int8Embedding.from_float(embedding, torch.float16)(torch.tensor([0, 1]))

    assert result.dtype == torch.float16
    assert torch.allclose(result.float(), embedding.weight, rtol=0.02, atol=2e-6)


# --- whole modules -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_last_layer_and_small_embeddings_stay_in_float(student: ModelFolder, method: str) -> None:
    module = load_module(student.checkpoint, method)  # type: ignore[arg-type]
    linears = {name for name, child in module.named_modules() if isinstance(child, nn.Linear)}
    replaced = quantize_linears(module, KEPT_IN_FLOAT)
    embeddings = quantize_embeddings(module, torch.float32)

    (kept,) = linears - set(replaced)
    assert kept in KEPT_IN_FLOAT
    assert type(module.get_submodule(kept)) is nn.Linear
    assert [name.rpartition(".")[2] for name in embeddings] == ["word_embeddings"]
    floats = {name for name, child in module.named_modules() if type(child) is nn.Embedding}
    assert all("word" not in name for name in floats)
    assert any("position" in name for name in floats)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("method", METHODS)
def test_one_layer_stays_in_float_in_every_family(tmp_path: Path, family: str, method: str) -> None:
    module = load_module(save_tiny_classifier(tmp_path, family), method)  # type: ignore[arg-type]
    quantize_linears(module, KEPT_IN_FLOAT)
    (last,) = [child for child in module.modules() if type(child) is nn.Linear]

    assert last.out_features == 5


@pytest.mark.parametrize("method", METHODS)
@torch.inference_mode()
def test_a_module_from_a_file_answers_exactly_as_the_one_that_was_saved(
    student: ModelFolder, tmp_path: Path, method: str
) -> None:
    saved = load_module(student.checkpoint, method)  # type: ignore[arg-type]
    linears = quantize_linears(saved, KEPT_IN_FLOAT)
    embeddings = quantize_embeddings(saved, torch.float32)
    tensors = tensors_of(saved)
    save_file(tensors, tmp_path / "weights.safetensors")
    loaded = give_back(
        load_module(student.checkpoint, method),  # type: ignore[arg-type]
        Weights(load_file(tmp_path / "weights.safetensors"), tuple(linears), tuple(embeddings)),
        torch.float32,
    )

    assert torch.equal(loaded(*batch()), saved(*batch()))
    again = tensors_of(loaded)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
    assert all(again[name].dtype == tensor.dtype for name, tensor in tensors.items())


@torch.inference_mode()
def test_a_float_module_goes_through_a_file_unchanged(student: ModelFolder, tmp_path: Path) -> None:
    saved = load_module(student.checkpoint, "script")
    save_file(tensors_of(saved), tmp_path / "weights.safetensors")
    loaded = give_back(
        load_module(student.checkpoint, "script"), Weights(load_file(tmp_path / "weights.safetensors")), torch.float32
    )

    assert torch.equal(loaded(*batch()), saved(*batch()))


@torch.inference_mode()
def test_an_int8_answer_is_the_same_alone_and_in_a_batch(student: ModelFolder) -> None:
    module = load_module(student.checkpoint, "script")
    quantize_linears(module, KEPT_IN_FLOAT)
    quantize_embeddings(module, torch.float32)
    ids, mask = batch()
    alone = torch.cat([module(ids[i : i + 1, : mask[i].sum()], mask[i : i + 1, : mask[i].sum()]) for i in range(4)])

    assert torch.allclose(alone, module(ids, mask), atol=1e-4)


@pytest.mark.parametrize("part", ["rows", "scales", "bias"])
def test_weights_with_a_hole_are_refused(student: ModelFolder, part: str) -> None:
    module = load_module(student.checkpoint, "script")
    linears = quantize_linears(module, KEPT_IN_FLOAT)
    tensors = tensors_of(module)
    del tensors[f"layers.1.after_attention.up.{part}"]

    with pytest.raises((RuntimeError, KeyError), match=r"layers\.1\.after_attention\.up"):
        give_back(load_module(student.checkpoint, "script"), Weights(tensors, tuple(linears)), torch.float32)


def test_weights_of_another_model_are_refused(student: ModelFolder, tmp_path: Path) -> None:
    other = load_module(save_tiny_classifier(tmp_path, "bert", num_hidden_layers=2, vocab_size=VOCABULARY), "script")

    with pytest.raises(RuntimeError):
        give_back(load_module(student.checkpoint, "script"), Weights(tensors_of(other)), torch.float32)


# --- the station -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=METHODS)
def compressed(
    request: pytest.FixtureRequest, student: ModelFolder, tmp_path_factory: pytest.TempPathFactory
) -> CompressedFolder:
    output = tmp_path_factory.mktemp("compressed")
    settings = CompressionConfig(activations="dynamic")
    compress(settings, ExportConfig(method=request.param), NO_DATA, student, output=output)
    return CompressedFolder(output)


def module_of(student: ModelFolder, compressed: CompressedFolder, dtype: torch.dtype) -> nn.Module:
    plan = read_json(compressed.plan)
    method = "script" if plan["module"] == "Encoder" else "trace"
    on_cpu = dtype == torch.float32
    scheme, weights = read_weights(compressed.cpu if on_cpu else compressed.gpu, plan["cpu" if on_cpu else "gpu"])
    return scheme.build(load_module(student.checkpoint, method), weights).eval()  # type: ignore[arg-type]


@torch.inference_mode()
def test_compressed_weights_answer_nearly_as_the_student_does(
    student: ModelFolder, compressed: CompressedFolder
) -> None:
    expected = HuggingFaceClassifier(student.checkpoint)(*batch())
    scale = expected.std()

    assert (module_of(student, compressed, torch.float32)(*batch()) - expected).abs().max() < 0.2 * scale
    assert (module_of(student, compressed, torch.float16)(*batch()) - expected).abs().max() < 0.2 * scale


def test_weights_for_gpus_are_half_precision_but_for_int8_and_its_scales(compressed: CompressedFolder) -> None:
    tensors = load_file(compressed.gpu)
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    words = next(name.removesuffix(".rows") for name in dtypes if name.endswith(".rows"))

    assert dtypes.pop(f"{words}.rows") == torch.int8
    assert dtypes.pop(f"{words}.scales") == torch.float32
    assert set(dtypes.values()) == {torch.float16}


@torch.inference_mode()
def test_a_module_for_gpus_computes_in_half_precision(student: ModelFolder, compressed: CompressedFolder) -> None:
    module = module_of(student, compressed, torch.float16)
    seen = set()
    for child in module.modules():
        if type(child) is nn.Linear:
            child.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    logits = module(*batch())

    assert seen == {torch.float16}
    assert logits.dtype == torch.float32


def test_the_plan_says_what_became_of_every_layer(student: ModelFolder, compressed: CompressedFolder) -> None:
    plan = read_json(compressed.plan)
    int8 = {name.removesuffix(".rows") for name in load_file(compressed.cpu) if name.endswith(".rows")}

    assert set(plan["cpu"]["int8_linears"]) | set(plan["cpu"]["int8_embeddings"]) == int8
    assert plan["cpu"]["bytes"] == compressed.cpu.stat().st_size
    assert plan["gpu"]["bytes"] == compressed.gpu.stat().st_size
    assert plan["fp32_bytes"] > 2.5 * plan["cpu"]["bytes"]


def test_what_is_not_asked_for_is_not_written(student: ModelFolder, tmp_path: Path) -> None:
    settings = CompressionConfig(cpu="fp32", gpu="none", embeddings="fp32")
    compress(settings, ExportConfig(), NO_DATA, student, output=tmp_path)
    folder = CompressedFolder(tmp_path)

    assert not folder.gpu.exists()
    assert "gpu" not in read_json(folder.plan)
    assert {tensor.dtype for tensor in load_file(folder.cpu).values()} == {torch.float32}


@torch.inference_mode()
def test_the_torchscript_file_of_a_quantized_module_answers_as_the_module(
    student: ModelFolder, compressed: CompressedFolder, tmp_path: Path
) -> None:
    for dtype in (torch.float32, torch.float16):
        module = module_of(student, compressed, dtype)
        file = tmp_path / "model.pt"
        script = isinstance(module, Encoder)
        jit.save(jit.to_torchscript(module, batch(), script=script), file)
        exported = jit.load(file)
        for _ in range(3):
            assert torch.allclose(exported(*batch()), module(*batch()), atol=1e-4)
