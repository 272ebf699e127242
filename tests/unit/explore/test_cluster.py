"""What a worker of a cluster must find before it trains, and what is said where there is no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import marwright
from marwright.config import Config
from marwright.errors import MarwrightError
from marwright.explore import cluster
from marwright.explore.cluster import Cluster, Place
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
    made = cluster._make(task, Place(tmp_path, tmp_path / "candidates" / ".token"), Path("trace"), 1)

    assert made.failure is not None
    assert f"does not have {tmp_path}/candidates as the machine that explores" in made.failure
    assert "on a shared file system, under the same path" in made.failure
    assert not (tmp_path / "one").exists()


def test_a_node_that_sees_other_inputs_does_not_train_from_them(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SEEN_S", 0.0)
    (tmp_path / ".token").touch()

    made = cluster._make(task, Place(tmp_path, tmp_path / ".token"), Path("trace"), 1)

    assert made.failure is not None
    assert "finds another data to make where teacher is next: all nodes need the same table" in made.failure


def test_without_ray_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marwright.processes.ray_cluster.is_installed", lambda package: False)

    with pytest.raises(MarwrightError, match=r"pip install 'marwright\[ray\]'"), connected(None):
        pass


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
