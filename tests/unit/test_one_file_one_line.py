"""A scheme, a runtime, a source and a family of encoders cost one file and one line that names it.

A copy of the source gets a toy of each: its file, its import, and its word in the list of its room. Then
tests/toys/check_*.py see that everything knows it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOYS = ROOT / "tests" / "toys"
# By noun: its room, what is imported of it, what joins the list, and the member of the list that it stands behind.
ROOMS = {
    "scheme": ("schemes", "COARSE, INT4", "COARSE, INT4", "DynamicInt8()"),
    "runtime": ("runtimes", "Toy", "Toy()", "TorchScript()"),
    "source": ("sources", "ToySource", "ToySource", "CustomsSource"),
    "family": ("pretrained/families", "TOY", "TOY", "(BERT"),
}


@pytest.fixture(scope="module")
def with_toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's sources with all four."""
    top = tmp_path_factory.mktemp("toys")
    shutil.copytree(ROOT / "src", top / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(ROOT / "handlers", top / "handlers", ignore=shutil.ignore_patterns("__pycache__"))
    (top / "configs").symlink_to(ROOT / "configs")
    shutil.copy(TOYS / "toy_runtime.py", top / "handlers")
    for noun, (room, names, made, member) in ROOMS.items():
        folder = top / "src" / "marwright" / room
        shutil.copy(TOYS / f"{noun}.py", folder / "toy.py")
        registry = folder / "__init__.py"
        text = registry.read_text(encoding="utf-8")
        listed = text.index(f"{member}, ", text.index("("))
        behind = listed + len(f"{member}, ")
        text = f"{text[:behind]}{made}, {text[behind:]}"
        place = text.index("\nfrom marwright.")
        line = f"\nfrom marwright.{room.replace('/', '.')}.toy import {names}"
        registry.write_text(text[:place] + line + text[place:], encoding="utf-8")
    return top


@pytest.fixture(scope="module")
def said(with_toys: Path) -> str:
    """What pytest says of all checks, in a process of their own."""
    checks = [str(TOYS / f"check_{noun}.py") for noun in ROOMS]
    command = [sys.executable, "-m", "pytest", "-v", "-o", f"cache_dir={with_toys / 'cache'}", *checks]
    environment = os.environ | {"PYTHONPATH": str(with_toys / "src")}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("noun", ROOMS)
def test_everything_knows_a_toy_by_its_file_and_its_line(said: str, noun: str) -> None:
    results = [line for line in said.splitlines() if line.startswith(f"tests/toys/check_{noun}.py::")]

    assert len(results) >= 2, said[-6000:]
    assert all(" PASSED " in line for line in results), said[-20000:]
