"""Damaged and foreign checkpoints: never a traceback, and the cause that is named is the cause."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors.torch import load_file

from marwright.errors import CheckpointError, first_line
from marwright.pretrained import checkpoint_errors
from marwright.pretrained import tokenizer as pretrained_tokenizer
from marwright.pretrained.checkpoint_errors import loading
from marwright.pretrained.checkpoints import resolve
from marwright.pretrained.encoder_facts import check_kind, read_facts
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.training.checkpoint import load_classifier
from tiny_models import letters_tokenizer, save_tiny_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_tiny_checkpoint(tmp_path / "checkpoint")


def load(checkpoint: Path | str) -> Any:
    """All that a build loads of a checkpoint, in its order."""
    check_kind(read_facts(str(checkpoint)), str(checkpoint))
    load_tokenizer(str(checkpoint), 32)
    return load_classifier(str(checkpoint), ["a", "b", "c"])


def rewrite(file: Path, **settings: Any) -> None:
    found = json.loads(file.read_text(encoding="utf-8")) | settings
    file.write_text(json.dumps({key: value for key, value in found.items() if value is not None}), encoding="utf-8")


class Calls:
    """A pickle of this runs something."""

    def __reduce__(self) -> Any:
        return os.getcwd, ()


def pickled(folder: Path, what: Any = None) -> None:
    weights = what or load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def pointer(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", encoding="utf-8")


def instead_of_json(folder: Path, name: str) -> None:
    (folder / "tokenizer.json").unlink()
    pointer(folder / name)


def indexed(folder: Path, index: dict[str, Any]) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def adapter(folder: Path, *beside: str) -> None:
    for file in folder.iterdir():
        if file.name not in (*beside, "tokenizer.json"):
            file.unlink()
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"")


def emptied(folder: Path) -> Path:
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


def moved(file: Path, name: str) -> None:
    (file.parent / name).parent.mkdir()
    file.rename(file.parent / name)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut short": (lambda at: os.truncate(at / "model.safetensors", 900), "damaged or cut short"),
    "empty weights": (lambda at: os.truncate(at / "model.safetensors", 0), "damaged or cut short"),
    "a pointer": (
        lambda at: (at / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "pointer of Git LFS",
    ),
    "no weights": (lambda at: (at / "model.safetensors").unlink(), r"no weights \(model.safetensors\)"),
    "another format": (
        lambda at: (at / "model.safetensors").rename(at / "tf_model.h5"),
        "tf_model.h5 cannot be read here",
    ),
    "code in a pickle": (lambda at: pickled(at, {"a": Calls()}), "marwright does not run it"),
    "no configuration": (lambda at: (at / "config.json").unlink(), "no config.json"),
    "no JSON": (lambda at: (at / "config.json").write_text("{oops"), "not the configuration of a model"),
    "a list": (lambda at: (at / "config.json").write_text("[]"), "not the configuration of a model"),
    "no family": (lambda at: rewrite(at / "config.json", model_type=None), "not the configuration of a model"),
    "another family": (lambda at: rewrite(at / "config.json", model_type="martian"), "model type `martian`"),
    "its own code": (
        lambda at: rewrite(at / "config.json", model_type="martian", auto_map={"AutoConfig": "a.B"}),
        "Python code of its own, which marwright never runs",
    ),
    "a wrong type": (lambda at: rewrite(at / "config.json", hidden_size="many"), "hidden_size"),
    "impossible heads": (lambda at: rewrite(at / "config.json", num_attention_heads=5), "attention heads"),
    "another width": (lambda at: rewrite(at / "config.json", hidden_size=48), "do not belong together"),
    "more words": (lambda at: rewrite(at / "config.json", vocab_size=999), "999 × 16 by config.json"),
    "more layers": (lambda at: rewrite(at / "config.json", num_hidden_layers=5), "lack 32 tensors of a bert"),
    "weights of another": (
        lambda at: shutil.copy(save_tiny_checkpoint(at / "other", "distilbert") / "model.safetensors", at),
        "belong to another config.json",
    ),
    "a pointer for a configuration": (lambda at: pointer(at / "config.json"), "config.json is a pointer of Git LFS"),
    "a pointer for a tokenizer": (lambda at: pointer(at / "tokenizer.json"), "tokenizer.json is a pointer of Git LFS"),
    "a pointer for words": (lambda at: instead_of_json(at, "vocab.txt"), "vocab.txt is a pointer of Git LFS"),
    "a pointer for pieces": (lambda at: instead_of_json(at, "spm.model"), "spm.model is a pointer of Git LFS"),
    "a mark of bytes": (
        lambda at: (at / "config.json").write_text((at / "config.json").read_text(), encoding="utf-8-sig"),
        "byte order mark.*save it as UTF-8",
    ),
    "16 bits a letter": (
        lambda at: (at / "config.json").write_text((at / "config.json").read_text(), encoding="utf-16"),
        "byte order mark.*save it as UTF-8",
    ),
    "labels without numbers": (lambda at: rewrite(at / "config.json", id2label={"a": "x"}), "Remove id2label"),
    "labels in a list": (lambda at: rewrite(at / "config.json", id2label=["x"]), "Remove id2label"),
    "quantized": (
        lambda at: rewrite(at / "config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
        "its weights are quantized",
    ),
    "an unknown activation": (lambda at: rewrite(at / "config.json", hidden_act="geluu"), "hidden_act is geluu"),
    "an index of nothing": (lambda at: indexed(at, {}), "no 'weight_map' in its files"),
    "an adapter": (lambda at: adapter(at, "config.json"), "merge_and_unload"),
    "an adapter alone": (adapter, "merge_and_unload"),
    "a folder inside": (
        lambda at: shutil.move(save_tiny_checkpoint(at.parent / "0_Transformer"), emptied(at)),
        "name the folder .*checkpoint/0_Transformer",
    ),
    "weights of another program": (lambda at: moved(at / "model.safetensors", "onnx/model.onnx"), "onnx/model.onnx"),
    "no tokenizer": (lambda at: (at / "tokenizer.json").unlink(), "the folder has no tokenizer"),
    "a broken tokenizer": (lambda at: (at / "tokenizer.json").write_text("{"), "tokenizer.json cannot be read"),
    "a newer tokenizer": (
        lambda at: rewrite(at / "tokenizer.json", pre_tokenizer={"type": "Quantum"}),
        "another version of tokenizers",
    ),
    "an empty tokenizer": (
        lambda at: rewrite(
            at / "tokenizer.json", model={"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
            added_tokens=[], post_processor={"type": "BertProcessing", "sep": ["[SEP]", 0], "cls": ["[CLS]", 0]},
        ),
        "knows no words",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_cause_is_named(damage: str, checkpoint: Path) -> None:
    harm, sentence = DAMAGE[damage]
    harm(checkpoint)

    with pytest.raises(CheckpointError, match=sentence) as raised:
        load(checkpoint)

    assert str(raised.value).count("\n") == 0
    assert len(str(raised.value)) < 500 + len(str(checkpoint)) * 2


SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "type_vocab_size",
)


@pytest.mark.parametrize("size", [*SIZES, "type_vocab_size"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_of_nothing_is_named(size: str, value: int, checkpoint: Path) -> None:
    rewrite(checkpoint / "config.json", **{size: value})

    with pytest.raises(CheckpointError, match=f"{size} is {value} in config.json"):
        load(checkpoint)


def test_what_is_whole_is_loaded(checkpoint: Path) -> None:
    assert load(checkpoint).config.num_labels == 3


def test_weights_in_a_pickle_of_nothing_but_weights_are_loaded(checkpoint: Path) -> None:
    pickled(checkpoint)

    assert load(checkpoint).config.num_labels == 3


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_what_a_checkpoint_was_for_before_does_not_matter(problem: str, checkpoint: Path) -> None:
    rewrite(checkpoint / "config.json", problem_type=problem)
    model = load(checkpoint)

    found = model(input_ids=torch.tensor([[5, 6]]), labels=torch.tensor([2]))

    assert model.config.problem_type == "single_label_classification"
    assert torch.isclose(found.loss, torch.nn.functional.cross_entropy(found.logits, torch.tensor([2])))


@pytest.mark.parametrize(
    "leftover",
    [
        {"output_hidden_states": True},
        {"output_attentions": True},
        {"return_dict": False},
        {"torchscript": True},
        {"use_cache": False},
        {"chunk_size_feed_forward": 1},
        {"gradient_checkpointing": True},
        {"is_decoder": True},
        {"is_decoder": True, "add_cross_attention": True},
        {"_num_labels": 7},
        {"architectures": ["BertForMaskedLM"]},
        {"label2id": {"x": 4}},
        {"torch_dtype": "float16"},
        {"dtype": "bfloat16"},
        {"_attn_implementation": "flash_attention_2"},
    ],
    ids=str,
)
def test_settings_that_a_checkpoint_was_saved_with_do_not_matter(leftover: dict[str, Any], checkpoint: Path) -> None:
    plain = load(checkpoint).eval()
    rewrite(checkpoint / "config.json", **leftover)
    model = load(checkpoint).eval()
    ids = torch.tensor([[5, 6, 7]])

    with torch.inference_mode():
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.tensor([2]))
        states = [each.bert(input_ids=ids, return_dict=True).last_hidden_state for each in (plain, model)]

    assert set(found) == {"loss", "logits"}
    assert found.logits.shape == (1, 3)
    assert model.config.id2label == plain.config.id2label
    assert model.dtype == torch.float32
    assert torch.allclose(*states, atol=1e-6)


# --- where checkpoints are looked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "~/nowhere", "models/bert/base"])
def test_a_folder_that_is_not_there_is_no_matter_of_the_hub(name: str) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder"):
        resolve(name)


def test_a_file_is_no_checkpoint(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="this is a file"):
        resolve(str(checkpoint / "config.json"))


def test_a_hub_that_cannot_be_reached_is_the_cause() -> None:
    error = OSError("We couldn't connect to 'https://huggingface.co' to load the files")
    with pytest.raises(CheckpointError, match="the model hub cannot be reached"), loading("some/model", "some/model"):
        raise error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/cache/model"), r"no space is left.*/cache/model"),
        (PermissionError(errno.EACCES, "denied", "/root/model"), "/root/model: may not be read"),
        (MemoryError(), "not the memory"),
        (ModuleNotFoundError("No module named 'fugashi'", name="fugashi"), "pip install fugashi"),
        (ValueError("`tiktoken` is required to read a `tiktoken` file"), "pip install tiktoken"),
        (RuntimeError("something new\nin two lines"), r"cannot load this checkpoint \(something new\)"),
        (Exception(), r"cannot load this checkpoint \(Exception\)"),
    ],
)
def test_whatever_a_loader_raises_is_a_sentence(error: Exception, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence), loading("some/model", "some/model"):
        raise error


# --- tokenizers that a worker cannot run -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "files"),
    [("BertweetTokenizer", ("vocab.txt", "bpe.codes")), ("BertJapaneseTokenizer", ("vocab.txt",))],
)
def test_a_tokenizer_written_in_python_is_said_to_be_one(name: str, files: tuple[str, ...], checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}), encoding="utf-8")
    for file in files:
        (checkpoint / file).write_text("a 1\n", encoding="utf-8")

    with pytest.raises(CheckpointError, match=rf"\({name}\) is written in Python"):
        load_tokenizer(str(checkpoint), 32)


def sentencepiece(folder: Path, name: str) -> None:
    package = pytest.importorskip("sentencepiece")
    lines = iter([f"herbal tea with lemon number {at} in a small bottle" for at in range(200)])
    with (folder / name).open("wb") as model:
        package.SentencePieceTrainer.train(
            sentence_iterator=lines, model_writer=model, vocab_size=60, minloglevel=2, hard_vocab_limit=False
        )
    (folder / "tokenizer.json").unlink()


def test_a_package_that_is_missing_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "spm.model").write_bytes(b"x")
    monkeypatch.setattr(pretrained_tokenizer, "is_installed", lambda package: False)

    with pytest.raises(CheckpointError, match=r"spm.model, and the package sentencepiece.*marwright\[sentencepiece\]"):
        load_tokenizer(str(checkpoint), 32)


def test_a_sentencepiece_model_alone_is_read_with_the_package(checkpoint: Path) -> None:
    sentencepiece(checkpoint, "sentencepiece.bpe.model")
    rewrite(checkpoint / "config.json", model_type="xlm-roberta")

    tokens = load_tokenizer(str(checkpoint), 32).encode("herbal tea </s>").tokens

    assert tokens[0] == "<s>"
    assert tokens[-1] == "</s>"
    assert "</s>" not in tokens[:-1]


def test_a_damaged_sentencepiece_model_is_a_sentence(checkpoint: Path) -> None:
    pytest.importorskip("sentencepiece")
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "sentencepiece.bpe.model").write_bytes(b"no model")
    rewrite(checkpoint / "config.json", model_type="xlm-roberta")

    with pytest.raises(CheckpointError, match=r"sentencepiece.bpe.model is no SentencePiece model, or a damaged one"):
        load_tokenizer(str(checkpoint), 32)


def test_a_plain_word_list_is_read(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    vocabulary = letters_tokenizer().get_vocab()
    (checkpoint / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)), encoding="utf-8")

    assert load_tokenizer(str(checkpoint), 32).encode("of tea").ids == letters_tokenizer().encode("of tea").ids


# --- names that look like causes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sentencepiece-bert", "tiktoken", "custom code", "protobuf", "connect 401 gated"])
def test_a_folders_name_is_no_cause(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_errors, "is_installed", lambda package: False)
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    error = OSError(f"Error no file named model.safetensors found in directory {folder} beside tiktoken.model")

    with pytest.raises(CheckpointError, match="the folder has no weights"), loading(str(folder), str(folder)):
        raise error


@pytest.mark.parametrize("name", ["acme/connect-bert", "acme/offline", "acme/gated-401", "401/403", "acme/tiktoken"])
def test_a_hub_ids_name_is_no_cause(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_errors, "is_installed", lambda package: False)
    error = OSError(f"{name} does not appear to have a file named model.safetensors. See https://huggingface.co/{name}")

    with pytest.raises(CheckpointError, match=r"cannot load this checkpoint \(.* does not appear"), loading(name, name):
        raise error


def test_what_kind_of_error_it_is_says_more_than_its_words() -> None:
    for kind, sentence in (
        (type("GatedRepoError", (OSError,), {}), "wants a login"),
        (OfflineModeIsEnabled, "cannot be reached"),
        (LocalEntryNotFoundError, "cannot be reached"),
    ):
        with pytest.raises(CheckpointError, match=sentence), loading("acme/bert", "acme/bert"):
            raise OSError("There was a problem.") from kind("nothing")


@pytest.mark.parametrize("there", [True, False])
def test_a_package_is_missing_only_if_it_is(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_errors, "is_installed", lambda package: there)
    error = ValueError("Converting from SentencePiece and Tiktoken failed")
    sentence = r"Converting from SentencePiece" if there else "a package to read it is missing"

    with pytest.raises(CheckpointError, match=sentence), loading("some/model", "some/model"):
        raise error


@pytest.mark.parametrize("message", ["", "\n", "one.", "\n one: \n two"])
def test_the_first_line_is_the_first_with_words(message: str) -> None:
    assert first_line(ValueError(message)) == ("one" if message.strip() else "ValueError")
