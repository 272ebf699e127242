"""The wheel carries what a checkout has, so that the same verbs work from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import marwright
from command_line import PROJECT
from goods_build import Built

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a wheel, installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(PROJECT)], check=True)
    (wheel,) = folder.glob("marwright-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def _run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    where = [sys.executable, "-c", "import marwright; print(marwright.__file__)"]
    found = subprocess.run(where, env=environment, cwd=cwd, text=True, capture_output=True, check=True)
    assert found.stdout.startswith(str(installed)), "the test must run the wheel, not the checkout"
    command = [sys.executable, "-m", "marwright", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, text=True, capture_output=True, check=False)


def test_the_wheel_has_the_handlers_and_configurations(installed: Path) -> None:
    shipped = installed / "marwright" / "shipped"
    for kind in ("handlers", "configs"):
        expected = {file.name for file in (PROJECT / kind).iterdir() if file.is_file()}
        assert {file.name for file in (shipped / kind).iterdir() if file.is_file()} == expected
    assert (shipped / "scripts" / "fetch_banking77.py").is_file()
    assert (installed / "marwright" / "py.typed").is_file()


def test_the_wheel_has_the_version_of_the_sources(installed: Path) -> None:
    assert (installed / f"marwright-{marwright.__version__}.dist-info").is_dir()


def test_a_shipped_configuration_builds_from_any_folder(installed: Path, tmp_path: Path) -> None:
    for name in ("customs", "configs/customs.yaml"):
        done = _run(installed, tmp_path, "build", name, "--until", "data")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "pt_classifier" / "data" / "card.json").is_file()


def test_an_installed_marwright_repacks_and_runs_an_archive(installed: Path, built: Built, tmp_path: Path) -> None:
    done = _run(installed, tmp_path, "predict", str(built.archive), "tractors", "--json")
    assert done.returncode == 0, done.stderr
    done = _run(
        installed, tmp_path, "build", str(built.config), "--set", "archive.top_k=2", "--set", f"model_store={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "goods.mar") as archive:
        assert "resilient_handler.py" in archive.namelist()
