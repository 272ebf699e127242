"""Tables on Ray clusters: the same bytes as from this machine alone, whatever is killed on the way."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from score_under_fire import CASES, Cluster, Job, cluster, difference, disturbed, write_table

pytest.importorskip("ray", reason="needs the ray extra")
pytestmark = pytest.mark.slow

ROWS = 9_000
WORDS = ("of", "the", "and", "tea")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """A cluster, which begins with one node."""
    with cluster() as started:
        yield started


@pytest.fixture(scope="module")
def job(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("scoring")
    chance = random.Random(0)
    write_table([" ".join(chance.choices(WORDS, k=1 + at % 20)) for at in range(999)], ROWS, folder / "a.parquet")
    return Job(tiny_archive, folder / "a.parquet")


@pytest.fixture(scope="module")
def whole(job: Job) -> Path:
    """What this machine alone writes."""
    output = job.table.with_name("whole")
    subprocess.run(job.command(output), check=True, timeout=300)
    return output


def test_a_cluster_writes_what_one_machine_writes(job: Job, whole: Path, nodes: Cluster, tmp_path: Path) -> None:
    subprocess.run(job.command(tmp_path / "out", nodes.address), check=True, timeout=300)
    assert difference(tmp_path / "out", whole) is None


def test_a_job_begun_here_is_finished_on_three_nodes(job: Job, whole: Path, nodes: Cluster, tmp_path: Path) -> None:
    nodes.fill()
    output = tmp_path / "out"
    shutil.copytree(whole, output)
    (output / "_manifest.json").unlink()
    for part in sorted(output.glob("part-*"))[1::2]:
        part.unlink()

    subprocess.run(job.command(output, nodes.address), check=True, timeout=300)

    assert difference(output, whole) is None


@pytest.mark.parametrize(("engine", "victim"), CASES)
def test_what_is_killed_loses_and_doubles_nothing(
    engine: str, victim: str, job: Job, whole: Path, nodes: Cluster, tmp_path: Path
) -> None:
    at_first_part = [lambda seconds, parts: parts >= 1]
    killed = disturbed(job, tmp_path / "out", engine, victim, nodes, at_first_part, random.Random(1))

    assert killed
    assert difference(tmp_path / "out", whole) is None
