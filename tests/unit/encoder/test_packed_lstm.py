"""The exported Bi-LSTM answers as the trained one does; padding and neighbours count for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from marwright.encoder.bilstm import BiLstmForSequenceClassification, register
from marwright.encoder.families import HuggingFaceClassifier, load_module
from marwright.encoder.packed_lstm import PackedLstm
from marwright.pretrained.tokenization import padded
from marwright.runtimes import jit
from marwright.schemes.int8_rows import Int8Linear, give_back, quantize_linears, tensors_of
from marwright.schemes.scheme import Weights
from tiny_models import VOCABULARY, save_tiny_classifier

BATCHES = {
    "mixed lengths": (7, 1, 40, 2, 13, 13, 5),
    "equal lengths": (9, 9, 9, 9),
    "one text": (11,),
    "one token": (1,),
    "many single tokens": (1, 1, 1),
    "short after long": (40, 3),
}
TOLERANCE = 1e-5


def rows_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(4, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


def largest_difference(one: Tensor, other: Tensor) -> float:
    assert one.shape == other.shape
    assert one.dtype == other.dtype == torch.float32
    return (one - other).abs().max().item()


@pytest.fixture(scope="module", params=[1, 2], ids=["one layer", "two layers"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_classifier(tmp_path_factory.mktemp("bilstm"), "bilstm", num_hidden_layers=request.param)


@pytest.fixture(scope="module")
def ours(checkpoint: Path) -> nn.Module:
    module = load_module(checkpoint, "script")
    assert isinstance(module, PackedLstm)
    return module


@pytest.fixture(scope="module")
def trained(checkpoint: Path) -> HuggingFaceClassifier:
    return HuggingFaceClassifier(checkpoint).eval()


@pytest.fixture(scope="module")
def compiled(ours: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> torch.jit.ScriptModule:
    """The scripted, frozen module, saved and loaded as a handler would."""
    file = tmp_path_factory.mktemp("compiled") / "model.pt"
    jit.save(jit.to_torchscript(ours, padded(rows_of((4, 2)), 0), script=True), file)
    return jit.load(file)


def test_transformers_finds_the_model_again(checkpoint: Path) -> None:
    register()
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint)

    assert isinstance(model, BiLstmForSequenceClassification)


@torch.inference_mode()
def test_the_trained_model_reads_each_text_as_if_it_stood_alone(trained: HuggingFaceClassifier) -> None:
    rows = rows_of(BATCHES["mixed lengths"])
    alone = torch.cat([trained(*padded([row], 0)) for row in rows])

    assert alone.std() > 0.1
    assert largest_difference(trained(*padded(rows, 7)), alone) < TOLERANCE


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@torch.inference_mode()
def test_the_torchscript_file_answers_as_the_trained_model_does(
    compiled: torch.jit.ScriptModule, ours: nn.Module, trained: HuggingFaceClassifier, lengths: tuple[int, ...]
) -> None:
    # Several times, and on new texts: TorchScript specialises on the shapes of its first runs.
    for seed in range(4):
        ids, mask = padded(rows_of(lengths, seed), 0)
        expected = trained(ids, mask)
        assert largest_difference(ours(ids, mask), expected) < TOLERANCE
        assert largest_difference(compiled(ids, mask), expected) < TOLERANCE


@torch.inference_mode()
def test_padding_changes_no_answer(ours: nn.Module) -> None:
    rows = rows_of(BATCHES["mixed lengths"])
    expected = ours(*padded(rows, 0))

    for extra, filler in ((0, 77), (1, 1), (30, 0)):
        ids, mask = padded(rows, filler)
        wider = nn.functional.pad(ids, (0, extra), value=filler), nn.functional.pad(mask, (0, extra))
        assert largest_difference(ours(*wider), expected) == 0


@torch.inference_mode()
def test_neighbours_change_no_answer(ours: nn.Module) -> None:
    rows = rows_of(BATCHES["mixed lengths"])
    together = ours(*padded(rows, 1))

    assert largest_difference(torch.cat([ours(*padded([row], 1)) for row in rows]), together) < TOLERANCE
    assert largest_difference(ours(*padded(rows[::-1], 1)).flip(0), together) < TOLERANCE


@pytest.mark.parametrize("place", [0, 4])
@torch.inference_mode()
def test_the_first_and_the_last_token_of_a_short_text_count(ours: nn.Module, place: int) -> None:
    ids, mask = padded(rows_of((8, 5)), 0)
    changed = ids.clone()
    changed[1, place] = (ids[1, place] + 1 - 4) % (VOCABULARY - 4) + 4
    difference = (ours(changed, mask) - ours(ids, mask)).abs().amax(dim=1)

    assert difference[0] < TOLERANCE
    assert difference[1] > 100 * TOLERANCE


@torch.inference_mode()
def test_in_int8_it_answers_nearly_alike_and_comes_back_from_its_tensors(checkpoint: Path, ours: nn.Module) -> None:
    int8 = load_module(checkpoint, "script")
    names = quantize_linears(int8, frozenset({"classifier"}))
    batch = padded(rows_of(BATCHES["mixed lengths"]), 0)
    again = give_back(load_module(checkpoint, "script"), Weights(tensors_of(int8), tuple(names)), torch.float32)

    assert {"layers.0.input", "dense"} <= set(names)
    assert isinstance(int8.get_submodule("layers.0.input"), Int8Linear)
    assert 0 < largest_difference(int8(*batch), ours(*batch)) < 0.1 * ours(*batch).std()
    assert largest_difference(again(*batch), int8(*batch)) == 0


@torch.inference_mode()
def test_it_answers_in_float32_when_it_computes_in_half_precision(checkpoint: Path, ours: nn.Module) -> None:
    half = load_module(checkpoint, "script").half()
    ids, mask = padded(rows_of((7, 1, 12)), 0)

    assert largest_difference(half(ids, mask), ours(ids, mask)) < 0.1
