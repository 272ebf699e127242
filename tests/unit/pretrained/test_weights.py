"""Weights that transformers would fill up, leave out or read as others, without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from marwright.errors import CheckpointError
from marwright.training.checkpoint import load_classifier
from tiny_models import save_tiny_checkpoint

State = dict[str, Tensor]
QUERY = "bert.encoder.layer.1.attention.self.query.weight"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_tiny_checkpoint(tmp_path / "checkpoint")


def changed(folder: Path, change: Callable[[State], State]) -> Path:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})
    return folder


def with_value(name: str, value: float) -> Callable[[State], State]:
    def change(state: State) -> State:
        state[name].view(-1)[0] = value
        return state

    return change


def refusal(folder: Path, labels: int = 3) -> str:
    with pytest.raises(CheckpointError) as raised:
        load_classifier(folder, [str(at) for at in range(labels)])
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "name", [QUERY, "bert.embeddings.word_embeddings.weight", "bert.encoder.layer.2.output.LayerNorm.bias"]
)
def test_what_is_no_number_is_no_weight(name: str, value: float, checkpoint: Path) -> None:
    assert f"{name} has values that are no numbers" in refusal(changed(checkpoint, with_value(name, value)))


def test_a_head_that_is_kept_must_have_numbers_too_and_one_that_is_new_has(checkpoint: Path) -> None:
    changed(checkpoint, with_value("classifier.weight", float("nan")))

    assert "classifier.weight has values" in refusal(checkpoint, labels=5)
    load_classifier(checkpoint, ["a", "b"])


def test_large_numbers_are_numbers(checkpoint: Path) -> None:
    load_classifier(changed(checkpoint, lambda state: state | {QUERY: torch.full((16, 16), 1e38)}), ["a"])


def as_int8(state: State) -> State:
    return state | {QUERY: (state[QUERY] * 100).to(torch.int8)}


@pytest.mark.parametrize("form", ["safetensors", "shards", "pickle"])
def test_numbers_of_quantized_weights_are_no_weights(form: str, checkpoint: Path) -> None:
    changed(checkpoint, as_int8)
    file = checkpoint / "model.safetensors"
    if form == "shards":
        file.rename(checkpoint / "model-00001-of-00001.safetensors")
        places = dict.fromkeys(
            load_file(checkpoint / "model-00001-of-00001.safetensors"), "model-00001-of-00001.safetensors"
        )
        index = {"metadata": {}, "weight_map": places}
        (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    if form == "pickle":
        torch.save(load_file(file), checkpoint / "pytorch_model.bin")
        file.unlink()

    assert f"{QUERY} is stored as" in refusal(checkpoint)


@pytest.mark.parametrize("numbers", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_weights(numbers: torch.dtype, checkpoint: Path) -> None:
    load_classifier(changed(checkpoint, lambda state: {name: state[name].to(numbers) for name in state}), ["a", "b"])


def without_prefix(state: State) -> State:
    return {name.removeprefix("bert."): tensor for name, tensor in state.items() if name.startswith("bert.")}


@pytest.mark.parametrize("rename", [dict, without_prefix], ids=["classifier", "encoder alone"])
def test_layers_that_would_be_left_out(rename: Callable[[State], State], checkpoint: Path) -> None:
    changed(checkpoint, rename)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    (checkpoint / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}), encoding="utf-8")

    assert "for 16 tensors of its weights a bert of 2 layers has no place" in refusal(checkpoint)


def test_parts_of_a_layer_that_would_be_left_out(checkpoint: Path) -> None:
    name = "bert.encoder.layer.0.attention.self.distance_embedding.weight"

    assert f"has no place, {name} first" in refusal(changed(checkpoint, lambda state: state | {name: torch.ones(9, 4)}))


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.position_ids",
        "cls.predictions.bias",
        "classifier.0.weight",
        "lm_head.layers.0.weight",
        "bert.encoder.layer.0.crossattention.self.query.weight",
        "bert.encoder.layer.0.attention.rotary.inv_freq",
        "bert.embeddings.word_embeddings._weight",
    ],
)
def test_what_reads_no_text_may_be_left_out(name: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_classifier(changed(checkpoint, lambda state: state | {name: torch.ones(4)}), ["a", "b"])

    assert "left out" not in capsys.readouterr().err


def test_what_else_is_left_out_is_told(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "bert.embeddings.language_embeddings.weight"

    load_classifier(changed(checkpoint, lambda state: state | {name: torch.ones(4, 16)}), ["a", "b"])

    assert f"{name} first; they are left out" in capsys.readouterr().err


@pytest.mark.parametrize("prefix", ["module.bert.", "model.bert.", "base_model.model.bert.", "encoder."])
def test_names_with_a_foreign_prefix(prefix: str, checkpoint: Path) -> None:
    changed(checkpoint, lambda state: {prefix + name: tensor for name, tensor in without_prefix(state).items()})

    assert f"begin with '{prefix}' where transformers wants 'bert.'" in refusal(checkpoint)


def test_another_family_is_no_prefix(checkpoint: Path) -> None:
    changed(checkpoint, lambda state: {f"roberta.{name}": tensor for name, tensor in without_prefix(state).items()})

    assert "they belong to another config.json" in refusal(checkpoint)


def test_weights_inside_of_something_else(checkpoint: Path) -> None:
    wrapped = {"epoch": torch.tensor(3), "state_dict": load_file(checkpoint / "model.safetensors")}
    torch.save(wrapped, checkpoint / "pytorch_model.bin")
    (checkpoint / "model.safetensors").unlink()

    assert "inside of something else (epoch, state_dict)" in refusal(checkpoint)
