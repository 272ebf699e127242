"""The ONNX module with its tokenizer, as servers for Hugging Face models read them."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny_run
from marwright.errors import ExportError, MarwrightError
from marwright.files import read_json
from marwright.fleet.external import export_external
from marwright.fleet.finished import temperature_of
from marwright.mar.golden import TOLERANCE, GoldenRequest, checked
from marwright.metrics.confidence import probabilities_of
from marwright.workspace import Run

FILES = {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}


@pytest.fixture(scope="module")
def folder(tiny_onnx: tuple[Run, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("external") / "goods"
    export_external(tiny_onnx[0], tiny_onnx[0].student, folder)
    return folder


def test_the_folder_has_the_files_that_servers_look_for(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == FILES
    config = read_json(folder / "config.json")
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["label2id"] == {label: index for index, label in enumerate(tiny_run.LABELS)}


def test_transformers_and_onnx_runtime_answer_from_it_as_the_archive(folder: Path, tiny_onnx: tuple[Run, Path]) -> None:
    from onnxruntime import InferenceSession
    from transformers import AutoConfig, AutoTokenizer

    tokenizer, config = AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder)
    session = InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    assert tokenizer.model_max_length == tiny_run.LONGEST
    for one in read_json(tiny_onnx[0].exported.golden):
        feeds = tokenizer(one["text"], truncation=True, return_tensors="np")
        logits = session.run(None, {name: feeds[name] for name in ("input_ids", "attention_mask")})[0][0]
        probabilities = probabilities_of(logits[None], temperature_of(tiny_onnx[0]))[0]
        answer = {config.id2label[index]: float(value) for index, value in enumerate(probabilities)}
        assert max(answer, key=lambda label: answer[label]) == one["answer"][0]["label"]
        assert GoldenRequest("", one["answer"]).off(answer) < TOLERANCE


def test_its_tokenizer_cuts_pads_and_masks_as_the_module_wants(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["tea", "tea " * 100], truncation=True, padding=True)

    assert [len(row) for row in batch["input_ids"]] == [tiny_run.LONGEST] * 2
    assert [sum(row) for row in batch["attention_mask"]] == [3, tiny_run.LONGEST]
    assert batch["input_ids"][0][3:] == [tokenizer.pad_token_id] * (tiny_run.LONGEST - 3)
    assert (tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token) == ("[CLS]", "[SEP]", "[PAD]")


def test_torchscript_is_refused_with_the_setting_that_cures_it(tiny_archive: Path, tmp_path: Path) -> None:
    run = Run(tiny_archive.parent / "run")
    with pytest.raises(ExportError, match=r"--set export\.runtime=onnxruntime"):
        export_external(run, run.student, tmp_path / "goods")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_stays_as_it_is(tiny_onnx: tuple[Run, Path], tmp_path: Path) -> None:
    (tmp_path / "mine").touch()

    with pytest.raises(MarwrightError, match="there is something already"):
        export_external(tiny_onnx[0], tiny_onnx[0].student, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_filled(tiny_onnx: tuple[Run, Path], tmp_path: Path) -> None:
    export_external(tiny_onnx[0], tiny_onnx[0].student, tmp_path)

    assert {file.name for file in tmp_path.iterdir()} == FILES


def test_a_folder_that_answers_otherwise_is_not_written(
    tiny_onnx: tuple[Run, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the module in the run were another one than the one whose answers were recorded."""
    golden = read_json(tiny_onnx[0].exported.golden)
    golden[3]["answer"][0]["probability"] -= 0.2
    monkeypatch.setattr("marwright.fleet.external.parsed", lambda _: checked(golden))

    with pytest.raises(ExportError, match=r"does not answer as the exported module did: .* 0\.\d+ off"):
        export_external(tiny_onnx[0], tiny_onnx[0].student, tmp_path / "goods")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tiny_onnx: tuple[Run, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(MarwrightError, match=f"^{tmp_path}/file/goods: cannot be written: "):
        export_external(tiny_onnx[0], tiny_onnx[0].student, tmp_path / "file" / "goods")
