"""The model repository for Triton: read by Triton's own schema, its steps run, and served where a tritonserver is."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tiny_run
from command_line import marwright
from goods_build import Built
from marwright.config import ArchiveConfig
from marwright.errors import ExportError, MarwrightError
from marwright.files import read_json
from marwright.fleet.triton import export_triton
from marwright.mar.golden import TOLERANCE, GoldenRequest
from marwright.workspace import Run
from triton_server import PYTHON, TritonServer, triton_serving
from triton_stand_in import Repository, Request, TritonError

SAMPLES = Path(__file__).parents[2] / "samples"
SETTINGS = ArchiveConfig(batch_size=12, max_batch_delay_ms=3, workers=2, top_k=3, max_characters=40)


@pytest.fixture(params=["torchscript", "onnxruntime"])
def run(request: pytest.FixtureRequest) -> Run:
    """A finished run of random weights for either runtime."""
    if request.param == "torchscript":
        return Run(request.getfixturevalue("tiny_archive").parent / "run")
    return request.getfixturevalue("tiny_onnx")[0]


@pytest.fixture
def repository(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    export_triton(run, run.student, ArchiveConfig(), "goods", tmp_path / "models")
    return Repository(tmp_path / "models", "goods", monkeypatch)


def parsed(file: Path) -> Any:
    """A configuration, read with the schema that NVIDIA publishes in its client."""
    pytest.importorskip("google.protobuf", reason="needs protobuf")
    from google.protobuf import text_format

    try:
        distribution = importlib.metadata.distribution("tritonclient")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs the package tritonclient")
    # By its place: importing it as a part of tritonclient.grpc would need grpcio.
    source = distribution.locate_file("tritonclient/grpc/model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", str(source))
    assert spec is not None
    assert spec.loader is not None
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    return text_format.Parse(file.read_text(encoding="utf-8"), schema.ModelConfig())


def test_the_configurations_say_in_triton_s_schema_what_the_archive_s_say(run: Run, tmp_path: Path) -> None:
    export_triton(run, run.student, SETTINGS, "goods", tmp_path / "models", version=3)

    texts, module = (parsed(tmp_path / "models" / name / "config.pbtxt") for name in ("goods", "goods_module"))

    assert (texts.name, texts.backend, texts.max_batch_size) == ("goods", "python", 12)
    assert list(texts.dynamic_batching.preferred_batch_size) == [12]
    assert texts.dynamic_batching.max_queue_delay_microseconds == 3000
    assert [(group.count, group.KIND_CPU) for group in texts.instance_group] == [(2, texts.instance_group[0].kind)]
    assert [(each.name, list(each.dims)) for each in texts.output] == [("LABEL", [3]), ("PROBABILITY", [3])]
    # A batch that one gathers is computed by the other as it is.
    assert module.name == "goods_module"
    assert module.max_batch_size == texts.max_batch_size
    assert not module.HasField("dynamic_batching")
    assert [list(each.dims) for each in module.input] == [[-1], [-1]]
    assert list(module.output[0].dims) == [len(tiny_run.LABELS)]
    labels = tmp_path / "models" / "goods_module" / module.output[0].label_filename
    assert labels.read_text(encoding="utf-8").splitlines() == tiny_run.LABELS
    (version,) = (tmp_path / "models" / "goods_module" / "3").iterdir()
    assert module.backend == {".onnx": "onnxruntime", ".pt": "pytorch"}[version.suffix]
    assert (tmp_path / "models" / "goods" / "3" / "model.py").is_file()


def test_one_batch_of_requests_gets_the_recorded_answers_from_one_run_of_the_module(
    run: Run, repository: Repository
) -> None:
    golden = read_json(run.exported.golden)[:10]

    answers = repository.ask(*(Request(one["text"].encode()) for one in golden))

    assert [batch[0] for batch in repository.batches] == [10]
    for one, (answer,) in zip(golden, answers, strict=True):
        assert list(answer) == [best["label"] for best in one["answer"]]
        assert GoldenRequest("", one["answer"]).off(answer) < TOLERANCE


def test_a_bad_text_fails_alone_and_a_request_may_have_several(repository: Repository) -> None:
    answers = repository.ask(Request(b"tea", b"of the tea"), Request(b" "), Request(b"\xff"), Request(b"of the tea"))

    assert len(answers[0]) == 2
    assert answers[0][1] == pytest.approx(answers[3][0], abs=1e-5)
    for bad, said in ((answers[1], "TEXT is empty"), (answers[2], "TEXT is not valid UTF-8")):
        assert isinstance(bad, TritonError)
        assert (bad.said, bad.code) == (said, TritonError.INVALID_ARG)


def test_a_batch_of_bad_texts_alone_runs_nothing(repository: Repository) -> None:
    assert all(isinstance(answer, TritonError) for answer in repository.ask(Request(b""), Request(b" ")))
    assert not repository.batches


def test_long_texts_are_cut_as_the_archive_cuts_them(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_triton(run, run.student, SETTINGS, "goods", tmp_path / "models")
    cut = Repository(tmp_path / "models", "goods", monkeypatch)

    long, short = cut.ask(Request(b"tea " * 1000), Request(b"tea " * 10))

    assert long[0] == pytest.approx(short[0], abs=1e-6)
    assert len(long[0]) == 3


@pytest.mark.parametrize("there", ["a file in it", "a file in its place"])
def test_what_is_there_is_never_overwritten(run: Run, tmp_path: Path, there: str) -> None:
    folder = tmp_path / "models"
    kept = folder / "kept" if there == "a file in it" else folder
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")

    with pytest.raises(MarwrightError, match=f"^{folder}: there is something already"):
        export_triton(run, run.student, ArchiveConfig(), "goods", folder)

    assert kept.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [folder]


def test_an_export_that_fails_leaves_nothing(run: Run, tmp_path: Path) -> None:
    broken = shutil.copytree(run.root, tmp_path / "run")
    Run(broken).student.tokenizer.unlink()

    with pytest.raises(OSError, match=r"tokenizer\.json"):
        export_triton(Run(broken), Run(broken).student, ArchiveConfig(), "goods", tmp_path / "models")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_another_handler_and_no_version_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"own\.py: a handler of TorchServe's"):
        export_triton(run, run.student, ArchiveConfig(handler=Path("own.py")), "goods", tmp_path / "models")
    with pytest.raises(ExportError, match="version 0"):
        export_triton(run, run.student, ArchiveConfig(), "goods", tmp_path / "models", version=0)
    assert not list(tmp_path.iterdir())


# --- the command -------------------------------------------------------------------------------------------------


def test_a_run_that_is_not_built_is_named_with_the_command_that_builds_it(goods: Path, tmp_path: Path) -> None:
    config = tmp_path / "goods.yaml"
    config.write_text(f"name: goods\nruns: {tmp_path}/runs\ndata: {{source: {{name: table, path: {goods}}}}}\n")

    done = marwright("export", config, "--triton", tmp_path / "models")

    assert done.returncode == 2
    assert f"{tmp_path}/runs/goods/data: not built" in done.stderr
    assert "marwright build CONFIG --until exported" in done.stderr
    assert not (tmp_path / "models").exists()
    assert not (tmp_path / "runs").exists()


def test_an_export_to_nowhere_is_refused(tmp_path: Path) -> None:
    done = marwright("export", "customs")

    assert done.returncode == 2
    assert "--external DIR, --triton DIR" in done.stderr


@pytest.mark.slow
def test_a_build_is_exported_by_the_command_line(built: Built, tmp_path: Path) -> None:
    done = marwright("export", built.config, "--triton", tmp_path / "models", "--json")
    assert done.returncode == 0, done.stderr
    written = {kind: folder for kind, folder in json.loads(done.stdout).items() if folder is not None}
    assert written == {"triton": str(tmp_path / "models")}
    assert (tmp_path / "models" / "goods_module" / "1" / "model.pt").is_file()

    done = marwright("export", built.config, "--external", tmp_path / "onnx")
    assert done.returncode == 2
    assert "--set export.runtime=onnxruntime" in done.stderr

    done = marwright("export", built.config, "--triton", tmp_path / "other", "--set", "teacher.epochs=99")
    assert done.returncode == 2
    assert "teacher: not built, or not with these settings" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


# --- a real server -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tiny_onnx: tuple[Run, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Triton with the repository as it is written, but for the backend of the module, which it does not have."""
    if not PYTHON:
        pytest.skip("set TRITON_PYTHON to a Python that has nvidia-pytriton, tokenizers and onnxruntime")
    folder = tmp_path_factory.mktemp("triton")
    export_triton(tiny_onnx[0], tiny_onnx[0].student, ArchiveConfig(max_batch_delay_ms=100), "goods", folder / "models")
    module = folder / "models" / "goods_module"
    shutil.copy(SAMPLES / "triton_onnx_module" / "model.py", module / "1")
    config = (module / "config.pbtxt").read_text()
    (module / "config.pbtxt").write_text(config.replace('backend: "onnxruntime"', 'backend: "python"'))
    with triton_serving(folder / "models", folder) as running:
        yield running


@pytest.mark.slow
def test_triton_answers_as_the_archive_and_batches_texts_of_all_lengths(
    server: TritonServer, tiny_onnx: tuple[Run, Path]
) -> None:
    golden = read_json(tiny_onnx[0].exported.golden)
    with ThreadPoolExecutor(len(golden)) as clients:
        answers = list(clients.map(lambda one: server.infer("goods", one["text"]), golden))

    for one, (status, answer) in zip(golden, answers, strict=True):
        assert status == 200
        labels, probabilities = (tensor["data"] for tensor in answer["outputs"])
        assert GoldenRequest("", one["answer"]).off(dict(zip(labels, probabilities, strict=True))) < TOLERANCE
    (stats,) = server.get("models/goods_module/stats")["model_stats"]
    assert stats["inference_count"] == len(golden)
    assert stats["execution_count"] <= len(golden) / 2


@pytest.mark.slow
def test_triton_says_what_is_wrong_with_a_text(server: TritonServer) -> None:
    status, answer = server.infer("goods", "tea", " ")

    assert status == 400
    assert "TEXT is empty" in answer["error"]
