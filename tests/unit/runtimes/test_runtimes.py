"""Archives for other runtimes than TorchScript."""

from __future__ import annotations

import builtins
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_run
from marwright.errors import ExportError
from marwright.files import read_json
from marwright.mar import layout
from marwright.mar.worker import running
from marwright.pretrained.tokenization import padded, token_ids
from marwright.workspace import Run
from onnx_runtime import load as load_onnx
from torchscript_runtime import load as load_torchscript


@pytest.fixture
def onnx(tiny_onnx: tuple[Run, Path]) -> tuple[Run, Path]:
    """A run and its archive for ONNX Runtime, of random weights."""
    return tiny_onnx


def test_an_onnx_archive_holds_one_cpu_module_and_says_what_it_needs(onnx: tuple[Run, Path]) -> None:
    with zipfile.ZipFile(onnx[1]) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read(layout.MANIFEST))
        setup = json.loads(archive.read(layout.SETUP))
        needed = {component["name"] for component in json.loads(archive.read(layout.SBOM))["components"]}
    assert {"model.onnx", "onnx_runtime.py"} <= names
    assert layout.CPU_MODULE not in names
    assert manifest["model"]["serializedFile"] == "model.onnx"
    assert setup["modules"]["cpu"] == {"file": "model.onnx", "runtime": "onnx_runtime"}
    # Its module for GPUs stays TorchScript.
    assert setup["modules"]["cuda"]["runtime"] == "cuda_graph_runtime"
    assert "onnxruntime" in needed


@pytest.mark.slow
def test_onnx_answers_do_not_depend_on_batch_neighbours(onnx: tuple[Run, Path]) -> None:
    texts = [request["text"] for request in read_json(onnx[0].exported.golden)][:12]
    with running(onnx[1]) as worker:
        alone = [worker.classify([text])[0] for text in texts]
        together = worker.classify(texts)
    for own, shared in zip(alone, together, strict=True):
        assert own == pytest.approx(shared, abs=2e-6)


def test_onnx_in_int8_answers_much_as_the_student_in_float(onnx: tuple[Run, Path]) -> None:
    card = read_json(onnx[0].exported.card)
    assert card["parity"]["before_on_every_test_row"] < 1e-4
    assert card["test"]["same_label_as_student"] > 0.9


def test_the_onnx_file_names_its_inputs_and_takes_any_shape(onnx: tuple[Run, Path]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx[0].exported.cpu), providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape) for each in session.get_inputs()] == [
        ("input_ids", ["batch", "length"]),
        ("attention_mask", ["batch", "length"]),
    ]
    assert [each.name for each in session.get_outputs()] == ["logits"]
    ids, mask = padded([[2, 3], [2, 4, 5, 6, 3], [2]], 0)
    found = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
    assert found.shape == (3, len(tiny_run.LABELS))


@pytest.fixture
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that has neither onnx nor onnxruntime."""
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("onnx", "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.usefixtures("without_onnx")
def test_a_worker_without_onnxruntime_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="install onnxruntime into the environment"):
        load_onnx(tmp_path / "model.onnx", {}, torch.device("cpu"))


@pytest.mark.usefixtures("without_onnx")
def test_a_build_without_onnx_says_what_to_install(tmp_path: Path) -> None:
    run = tiny_run.trained(tmp_path / "run")
    with pytest.raises(ExportError, match=r"needs the package onnx: pip install 'marwright\[onnx\]'"):
        tiny_run.finish(run, tmp_path / "goods.mar", runtime="onnxruntime")


def test_a_processor_without_vnni_is_refused_for_a_module_that_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    with pytest.raises(RuntimeError, match=r"compression\.activations: dynamic"):
        load_torchscript(tmp_path / "model.pt", {"needs_vnni": True}, torch.device("cpu"))


def test_what_the_student_answers_is_in_the_rows_of_its_texts(onnx: tuple[Run, Path]) -> None:
    """Calibration rows are padded to one length; the padding must be masked."""
    from datasets import load_from_disk
    from tokenizers import Tokenizer

    from marwright.export.station import _calibration

    run = onnx[0]
    tokenizer = Tokenizer.from_file(str(run.student.tokenizer))
    rows = token_ids(tokenizer, list(load_from_disk(str(run.data.splits))["train"]["text"]))
    batches = _calibration(run.data, tokenizer)
    assert len({ids.shape for ids, _ in batches}) == 1
    assert [int(mask.sum()) for _, mask in batches] == [len(row) for row in rows]
