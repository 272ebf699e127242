"""Archives whose module AOTInductor has compiled."""

from __future__ import annotations

import json
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny_run
from aotinductor_runtime import MOST_PLACES, AotInductorRuntime
from aotinductor_runtime import load as load_in_worker
from command_line import PROJECT
from marwright.checks.verify import verify
from marwright.encoder.captured import CapturedLayout
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.encoder.logits import logits_of
from marwright.errors import ExportError
from marwright.files import read_json
from marwright.mar import layout
from marwright.mar.golden import GoldenRequest
from marwright.mar.worker import running
from marwright.pretrained.tokenization import padded
from marwright.runtimes.inductor import compile_package, load
from marwright.workspace import Run
from soak.served import ask, served
from tiny_models import save_tiny_classifier

needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs g++")
needs_vnni = pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="fixed scales need AVX-512 VNNI")


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("rows", [[[2, 3]], [[2, 3, 4, 3], [2, 3], [2, 5, 3]], [[2, *range(4, 20), 3]] * 5])
def test_the_capturable_module_answers_as_the_packed_one(tmp_path: Path, family: str, rows: list[list[int]]) -> None:
    save_tiny_classifier(tmp_path, family)
    packed = load_module(tmp_path, "script")
    assert isinstance(packed, Encoder)
    ids, mask = padded(rows, 0)
    with torch.inference_mode():
        torch.testing.assert_close(packed.laid_out(CapturedLayout())(ids, mask), packed(ids, mask), atol=1e-5, rtol=0)


def test_large_batches_are_cut_and_answered_in_their_order() -> None:
    asked: list[tuple[int, int]] = []

    def first_token(ids: Tensor, mask: Tensor) -> Tensor:
        asked.append((ids.size(0), ids.size(1)))
        assert bool((ids * (1 - mask) == 0).all())
        assert int(mask.sum(1).max()) == ids.size(1)
        return ids[:, :1].float()

    lengths = [3, 200, 5, 150, 4, 90, 2, 300, 3, 3]
    ids, mask = padded([[10 + at] * length for at, length in enumerate(lengths)], 0)
    answers = AotInductorRuntime(first_token).logits(ids, mask)
    assert answers[:, 0].tolist() == [10.0 + at for at in range(len(lengths))]
    assert len(asked) > 1
    assert all(texts == 1 or texts * longest <= MOST_PLACES for texts, longest in asked)


def test_one_token_alone_is_padded_since_compiled_modules_take_two() -> None:
    def logits(ids: Tensor, mask: Tensor) -> Tensor:
        assert ids.tolist() == [[7, 0]]
        assert mask.tolist() == [[1, 0]]
        return torch.zeros(1, 3)

    AotInductorRuntime(logits).logits(torch.tensor([[7]]), torch.tensor([[1]]))


def test_another_torch_or_processor_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"needs_torch": "2.0.0", "needs_avx512": True, "needs_vnni": True}
    with pytest.raises(RuntimeError, match=r"compiled for torch 2\.0\.0, and .* is installed"):
        load_in_worker(tmp_path / "model.pt2", settings, torch.device("cpu"))
    settings["needs_torch"] = torch.__version__.partition("+")[0]
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    with pytest.raises(RuntimeError, match="VNNI instructions"):
        load_in_worker(tmp_path / "model.pt2", settings, torch.device("cpu"))


def test_a_build_without_a_compiler_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run.trained(tmp_path / "run")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ExportError, match=r"needs a C\+\+ compiler .* apt install g\+\+"):
        tiny_run.finish(run, tmp_path / "goods.mar", "static", "aotinductor")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run and its compiled archive, of random weights."""
    folder = tmp_path_factory.mktemp("tiny_aotinductor")
    return Run(folder / "run"), tiny_run.packed(folder, "static", "aotinductor", num_hidden_layers=1)


@pytest.mark.slow
@needs_a_compiler
@needs_vnni
def test_a_compiled_archive_answers_in_a_worker(compiled: tuple[Run, Path]) -> None:
    run, archive = compiled
    with zipfile.ZipFile(archive) as opened:
        names = set(opened.namelist())
        setup = json.loads(opened.read(layout.SETUP))
    assert {"model.pt2", "aotinductor_runtime.py"} <= names
    assert layout.CPU_MODULE not in names
    module = setup["modules"]["cpu"]
    assert module["runtime"] == "aotinductor_runtime"
    assert module["needs_torch"] == torch.__version__.partition("+")[0]
    # Packing it has already held the handler's answers against the build's; here in other company.
    texts = [request["text"] for request in read_json(run.exported.golden)]
    with running(archive) as worker:
        alone: list[Any] = [worker.classify([text])[0] for text in texts[:6]]
        together = worker.classify(texts)[:6]
    for own, shared in zip(alone, together, strict=True):
        assert own == pytest.approx(shared, abs=0.02)


@pytest.mark.slow
@needs_a_compiler
@needs_vnni
def test_a_check_of_a_compiled_archive_names_its_machine_code_and_raises_no_alarm(compiled: tuple[Run, Path]) -> None:
    report = verify(compiled[1], run=False)

    assert report.holds, [check for check in report.checks if check.state == "failed"]
    assert "machine code" in report.could_execute["model.pt2"]


@pytest.mark.slow
@needs_a_compiler
@needs_vnni
def test_a_compiled_archive_answers_behind_torchserve(compiled: tuple[Run, Path]) -> None:
    golden = read_json(compiled[0].exported.golden)
    bodies = [json.dumps({"text": request["text"], "top_k": len(request["answer"])}).encode() for request in golden]
    with served(compiled[1], PROJECT / "configs" / "config.properties") as server, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda body: ask(server.url, body), bodies))
    for request, (status, answer) in zip(golden, answers, strict=True):
        assert status == 200, answer
        assert GoldenRequest(request["text"], request["answer"]).off(json.loads(answer)) < 0.02


@pytest.mark.slow
@needs_a_compiler
@needs_vnni
def test_compiled_float32_is_exact_and_compiled_int8_close(compiled: tuple[Run, Path]) -> None:
    card = read_json(compiled[0].exported.card)
    assert card["runtime"] == "aotinductor"
    assert card["module"] == "Encoder"
    assert card["parity"]["before_on_every_test_row"] < 1e-5
    assert card["test"]["same_label_as_student"] > 0.9


@pytest.mark.slow
@needs_a_compiler
def test_a_module_of_transformers_is_compiled_for_every_shape(tmp_path: Path) -> None:
    save_tiny_classifier(tmp_path / "bert", "bert")
    module = load_module(tmp_path / "bert", "trace")
    rows = [[2, 3, 4, 3], [2, 3], [2, 5, 6, 7, 3]]
    compile_package(module, padded(rows, 0), 40, tmp_path / "model.pt2")
    rows = [*rows, [2], [2, *range(4, 14)] * 2]
    exact, compiled = (logits_of(each, rows, 0, "answers") for each in (module, load(tmp_path / "model.pt2")))
    assert abs(exact - compiled).max() < 1e-5
