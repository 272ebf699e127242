"""The archive's module answers from C++, without Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import PROJECT, Built
from tokenizers import Tokenizer

from marwright.archive.worker import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
]


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled against this environment's PyTorch."""
    program = tmp_path_factory.mktemp("cpp") / "classify"
    environment = os.environ | {"PYTHON": sys.executable}
    subprocess.run([PROJECT / "scripts" / "cpp" / "build.sh", program], env=environment, check=True, timeout=300)
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
