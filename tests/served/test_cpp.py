"""The modules of archives, TorchScript and ONNX, answer from C++, without Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from command_line import PROJECT
from goods_build import Built
from marwright.files import read_json
from marwright.mar.worker import running
from marwright.workspace import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
]


HEADERS = Path(os.environ.get("ONNXRUNTIME_INCLUDE", "/usr/include/onnxruntime")) / "onnxruntime_cxx_api.h"


def compiled(script: str, program: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a build script against this environment's libraries."""
    command = [PROJECT / "scripts" / "cpp" / script, program]
    given = os.environ | {"PYTHON": sys.executable} | environment
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def classify_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program for ONNX, compiled against this environment's ONNX Runtime."""
    if not HEADERS.is_file():
        pytest.skip("needs the headers of ONNX Runtime: libonnxruntime-dev, or ONNXRUNTIME_INCLUDE")
    program = tmp_path_factory.mktemp("cpp") / "classify_onnx"
    done = compiled("build_onnx.sh", program)
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled against this environment's PyTorch."""
    program = tmp_path_factory.mktemp("cpp") / "classify"
    done = compiled("build.sh", program)
    assert done.returncode == 0, done.stderr
    return program


def test_a_small_program_gives_the_archives_answer(classify: Path, built: Built, tmp_path: Path) -> None:
    with zipfile.ZipFile(built.archive) as archive:
        archive.extractall(tmp_path)
    text = "Tea, black or green, in small packings"
    with running(built.archive) as worker:
        expected = worker.classify([text], top_k=5)[0]
    ids = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids

    done = subprocess.run([classify, tmp_path, *map(str, ids)], text=True, capture_output=True, check=True, timeout=60)

    found = [line.split("  ", 1) for line in done.stdout.splitlines()]
    assert [label for _, label in found] == list(expected)
    assert [float(probability) for probability, _ in found] == pytest.approx(list(expected.values()), abs=1e-4)


def test_what_is_no_archive_is_refused_in_a_sentence(classify: Path, tmp_path: Path) -> None:
    done = subprocess.run([classify, tmp_path, "101"], text=True, capture_output=True, check=False, timeout=60)

    assert done.returncode == 2
    assert done.stderr.startswith("classify: ")


def test_a_small_program_gives_the_onnx_archives_answers(
    classify_onnx: Path, tiny_onnx: tuple[Run, Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tiny_onnx[1]) as archive:
        archive.extractall(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for request in read_json(tiny_onnx[0].exported.golden)[:8]:
        ids = tokenizer.encode(request["text"]).ids
        done = subprocess.run(
            [classify_onnx, tmp_path, *map(str, ids)], text=True, capture_output=True, check=True, timeout=60
        )
        found = [line.split("  ", 1) for line in done.stdout.splitlines()]
        # The program prints labels as index_to_name.json has them: what is not ASCII is escaped.
        assert [json.loads(f'"{label}"') for _, label in found] == [best["label"] for best in request["answer"]]
        expected = [best["probability"] for best in request["answer"]]
        assert [float(probability) for probability, _ in found] == pytest.approx(expected, abs=1e-4)


def test_the_program_for_onnx_refuses_what_is_no_archive(classify_onnx: Path, tmp_path: Path) -> None:
    done = subprocess.run([classify_onnx, tmp_path, "101"], text=True, capture_output=True, check=False, timeout=60)

    assert done.returncode == 2
    assert done.stderr.startswith("classify_onnx: ")


def test_a_build_without_the_headers_of_onnx_runtime_says_where_they_are(tmp_path: Path) -> None:
    done = compiled("build_onnx.sh", tmp_path / "classify_onnx", ONNXRUNTIME_INCLUDE=str(tmp_path))

    assert done.returncode == 2
    assert "apt-get install libonnxruntime-dev" in done.stderr
    assert not list(tmp_path.iterdir())
