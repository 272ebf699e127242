"""What a worker of a cluster must find before it trains, and what is said where there is no cluster."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from command_line import marwright
from marwright.config import Config
from marwright.errors import MarwrightError
from marwright.explore import cluster
from marwright.explore.cluster import Cluster
from marwright.explore.side_by_side import Goal, Task
from marwright.processes.ray_cluster import connected
from marwright.road.pipeline import Missing
from marwright.workspace import Run


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """The rows of a table that is not there."""
    source = {"name": "table", "path": str(tmp_path / "rows.csv")}
    config = Config.model_validate({"name": "goods", "runs": tmp_path, "data": {"source": source}})
    return Task(Goal("one", config, Run(tmp_path / "one"), "student"), Missing("teacher", "abc"))


def test_a_node_without_the_shared_folder_says_so(task: Task, tmp_path: Path) -> None:
    _, failure = cluster._make(task, tmp_path, Path("candidates/.token"), Path("trace"), 1)

    assert failure is not None
    assert f"does not have {tmp_path}/candidates as the machine that explores" in failure
    assert "on a shared file system, under the same path" in failure
    assert not (tmp_path / "one").exists()


def test_a_node_that_sees_other_inputs_does_not_train_from_them(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SEEN_S", 0.0)
    (tmp_path / ".token").touch()

    _, failure = cluster._make(task, tmp_path, Path(".token"), Path("trace"), 1)

    assert failure is not None
    assert "finds another data to make where teacher is next: all nodes need the same table" in failure


def test_without_ray_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marwright.processes.ray_cluster.is_installed", lambda package: False)

    with pytest.raises(MarwrightError, match=r"pip install 'marwright\[ray\]'"), connected(None):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_where_no_cluster_answers_a_sentence_says_so_at_once(address: str) -> None:
    pytest.importorskip("ray", reason="needs the ray extra")
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(MarwrightError, match=f"--address {address}: no Ray cluster answers there"), connected(address):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_only_what_fits_a_node_is_counted() -> None:
    node = {"CPU": 9.0, "GPU": 2.0}

    assert cluster._room(node, Cluster(cpus=2)) == 4
    assert cluster._room(node, Cluster(cpus=2, gpus=1)) == 2
    assert cluster._room(node, Cluster(cpus=2, gpus=0.5)) == 4
    assert cluster._room({"CPU": 1.0}, Cluster(cpus=2)) == 0


@pytest.mark.parametrize("options", [["--workers", "2"], ["--address", "auto"], ["--cpus", "2"]], ids=str)
def test_options_of_the_cluster_need_one(options: list[str]) -> None:
    done = marwright("explore", "customs", *options)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "marwright: --address, --workers, --cpus and --gpus are for --engine ray."
