"""Does ``marwright score`` write each row exactly once while workers, nodes and drivers are killed at random moments?

    python scripts/benchmarks/score_under_fire.py model_store/pt_classifier.mar --texts titles.csv --runs 20

Each run scores the same table, with processes of this machine or on a Ray cluster of three nodes, and kills something
with SIGKILL at a random moment. A driver that was killed is started again. Then the output must be, byte for byte, that
of a run that nobody disturbed. Needs Ray: ``pip install 'marwright[ray]'``.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow
from pyarrow import parquet

CASES = (("local", "worker"), ("local", "driver"), ("ray", "worker"), ("ray", "node"), ("ray", "driver"))
NODES = 3
NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}
LONGEST_S = 900
TRIES = 4


Moment = Callable[[float, int], bool]
"""Whether it has come, by the seconds since the start and the parts that are there."""


@dataclass(frozen=True)
class Job:
    """A table that is scored again and again."""

    archive: Path
    table: Path

    def command(self, output: Path, address: str | None = None) -> list[str]:
        """The command line that scores it; on a cluster if there is an address."""
        ray = [] if address is None else ["--engine", "ray", "--address", address]
        arguments = [self.archive, "--input", self.table, "--output", output, "--workers", NODES if ray else 2, *ray]
        return [sys.executable, "-m", "marwright", "score", *map(str, arguments)]


class Cluster:
    """Three nodes of Ray on this machine, the first of which stays."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        head = {**NODE, "include_dashboard": False}
        self._nodes = _patiently(lambda: Nodes(initialize_head=True, head_node_args=head))
        self._others: list[Any] = []
        self.address: str = self._nodes.address
        """Where drivers find it."""

    def fill(self) -> None:
        """Start the nodes that are missing."""
        while len(self._others) < NODES - 1:
            self._others.append(_patiently(lambda: self._nodes.add_node(**NODE)))
        self._nodes.wait_for_nodes()

    def kill_a_node(self, chance: random.Random) -> None:
        """Kill every process of one of them."""
        node = self._others.pop(chance.randrange(len(self._others)))
        self._nodes.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._nodes.shutdown()


def _patiently(start: Callable[[], Any]) -> Any:
    """Ray gives a node 30 seconds to start, which are few on a busy machine."""
    for _ in range(TRIES - 1):
        # Ray raises a bare Exception.
        with suppress(Exception):
            return start()
    return start()


def cluster() -> closing[Cluster]:
    """A cluster for the length of a block; one node, until it is filled."""
    return closing(Cluster())


def texts_in(table: Path) -> list[str]:
    """The column ``text`` of a csv."""
    with table.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def varied(texts: Sequence[str], rows: int) -> list[str]:
    """So many texts, each of which is varied when it comes again."""
    endless = (f"{text} {at}" if at else text for at in itertools.count() for text in texts)
    return list(itertools.islice(endless, rows))


def write_table(texts: Sequence[str], rows: int, file: Path) -> None:
    """Write a parquet file of so many rows out of texts."""
    table = {"id": range(rows), "text": varied(texts, rows)}
    parquet.write_table(pyarrow.table(table), file, row_group_size=30_000)


def after(wanted: float) -> Moment:
    """So many seconds after the start."""
    return lambda seconds, parts: seconds >= wanted


def workers_of(driver: psutil.Process, engine: str) -> list[psutil.Process]:
    """The processes that score now."""
    # The nodes are children of this process, and actors theirs; there may be other clusters here.
    parent, name = (psutil.Process(), "ray::MapWorker") if engine == "ray" else (driver, "spawn_main")
    return [one for one in parent.children(recursive=True) if name in _said(one)]


def _said(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def disturbed(
    job: Job, output: Path, engine: str, victim: str, nodes: Cluster, moments: Sequence[Moment], chance: random.Random
) -> int:
    """Score while something is killed at each of these moments; returns how often something was.

    Raises:
        RuntimeError: the command fails though nobody killed it.
    """
    nodes.fill()
    kills = 0
    with (output.with_suffix(".log")).open("wb") as log:
        command = job.command(output, nodes.address if engine == "ray" else None)
        process = subprocess.Popen(command, stdout=log, stderr=log)
        began = time.monotonic()
        for moment in moments:
            while process.poll() is None and not moment(time.monotonic() - began, len(list(output.glob("part-*")))):
                time.sleep(0.02)
            if process.poll() is not None:
                break
            if victim == "driver":
                process.kill()
                process.wait()
                process = subprocess.Popen(command, stdout=log, stderr=log)
                kills += 1
            elif victim == "node":
                nodes.kill_a_node(chance)
                kills += 1
                nodes.fill()
            elif there := workers_of(psutil.Process(process.pid), engine):
                with suppress(psutil.NoSuchProcess):
                    chance.choice(there).send_signal(signal.SIGKILL)
                    kills += 1
        code = process.wait(LONGEST_S)
    if code != 0:
        said = output.with_suffix(".log").read_text(errors="replace")
        raise RuntimeError(f"{engine}, {victim} killed: exit code {code}\n{said[-2000:]}")
    return kills


def difference(output: Path, undisturbed: Path) -> str | None:
    """How an output differs from one that nobody disturbed; none if it does not."""
    files, others = ({file.name: file.read_bytes() for file in one.iterdir()} for one in (output, undisturbed))
    if files == others:
        return None
    names = sorted(name for name in files.keys() | others.keys() if files.get(name) != others.get(name))
    return f"{len(names)} files differ: {', '.join(names[:5])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="a csv with a column text")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="under-fire-"))
    job = Job(given.archive.resolve(), folder / "titles.parquet")
    write_table(texts_in(given.texts), given.rows, job.table)
    wrong = 0
    with cluster() as nodes:
        whole, lasted = folder / "undisturbed", {}
        for engine, output in (("local", whole), ("ray", folder / "one-node")):
            began = time.monotonic()
            subprocess.run(job.command(output, nodes.address if engine == "ray" else None), check=True)
            lasted[engine] = time.monotonic() - began
        nodes.fill()
        subprocess.run(job.command(folder / "three-nodes", nodes.address), check=True)
        for name in ("one-node", "three-nodes"):
            found = difference(folder / name, whole)
            print(f"{name}: {found or 'the same bytes as local'}", flush=True)
            wrong += found is not None
        for run, (engine, victim) in zip(range(given.runs), itertools.cycle(CASES), strict=False):
            output = folder / f"run-{run}"
            moments = [
                after(at) for at in sorted(chance.uniform(0, lasted[engine]) for _ in range(chance.randint(1, 3)))
            ]
            kills = disturbed(job, output, engine, victim, nodes, moments, chance)
            found = difference(output, whole)
            print(f"run {run}: {engine}, {victim} killed {kills} times: {found or 'the same bytes'}", flush=True)
            wrong += found is not None
            shutil.rmtree(output)
    shutil.rmtree(folder)
    print(f"{given.runs} runs of {given.rows:,} rows: {wrong or 'none'} of them with a row lost, doubled or changed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
