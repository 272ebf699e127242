"""Trains candidates side by side on a Ray cluster. What is measured is not done here: it has to be one machine's."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marwright.config import Config
from marwright.console.progress import say, waiting
from marwright.errors import MarwrightError, first_line
from marwright.explore.candidates import Candidate
from marwright.explore.failing import why_it_fails
from marwright.explore.side_by_side import SEEN_S, Goal, Task, side_by_side
from marwright.files import write_text
from marwright.processes.ray_cluster import ALONE, connected
from marwright.road.pipeline import build
from marwright.road.stations import trained_models
from marwright.workspace import CandidatesFolder, Run

RETRIES = 1
"""How often a station is begun again, from its last checkpoint, after its worker or node was killed."""
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Cluster:
    """Where candidates are trained, and what each has there."""

    address: str | None = None
    """``auto`` or that of a Ray cluster; none: one of this machine alone."""
    workers: int | None = None
    """Most candidates at a time; as many as there are cores for if not given."""
    cpus: int = 1
    """Cores, and threads, of each."""
    gpus: float = 0
    """GPUs of each, or a share of one."""


def train_on(
    cluster: Cluster, config: Config, candidates: Sequence[Candidate], lenders: Sequence[Run]
) -> dict[str, str]:
    """Train the configuration's teacher and all candidates' models.

    Returns:
        why candidates failed, by name.

    Raises:
        MarwrightError: the rows cannot be prepared, there is no such cluster, or the teacher cannot be trained.
    """
    main = Run(config.runs / config.name)
    build(config, "data", lenders=lenders, brief=True)
    teacher = Goal(config.name, config, main, "teacher")
    goals = [Goal(each.name, each.config, each.run, trained_models(each.config)[-1]) for each in candidates]
    failures = {}
    with connected(cluster.address or ALONE), _token(main.candidates) as token:
        workers = RayWorkers(cluster, token, main.candidates)
        nodes = "one node" if workers.nodes == 1 else f"{workers.nodes} nodes"
        say(f"training on {nodes}, at most {workers.slots} at a time")
        for goal, failure in side_by_side([teacher, *goals], lenders, workers):
            if failure is not None and goal is teacher:
                raise MarwrightError(f"The teacher that candidates are compared with cannot be trained: {failure}")
            if failure is not None:
                failures[goal.name] = failure
                say(f"  {goal.name} FAILED: {failure}")
    return failures


class RayWorkers:
    """Ray's tasks, each of which makes one station."""

    def __init__(self, cluster: Cluster, token: Path, folder: CandidatesFolder) -> None:
        import ray

        self._token, self._folder, self._threads = token, folder, cluster.cpus
        self._remote = ray.remote(_make).options(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=0)
        self._under_way: dict[Any, tuple[Task, int]] = {}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.nodes = len(nodes)
        room = sum(_room(node, cluster) for node in nodes)
        if not room:
            lacking = f"no node has {cluster.cpus} cores and {cluster.gpus:g} GPUs, which each model shall have"
            if cluster.address is None:
                raise MarwrightError(f"{lacking}: lower --cpus or --gpus, or name a cluster with --address.")
            say(f"  {lacking}; waiting for one")  # some clusters start nodes when they are asked for
        self.slots = cluster.workers or max(1, room)

    def start(self, task: Task) -> None:
        """Let a worker make a station."""
        say(f"  {task.goal.name}: {task.missing.station} begins")
        self._submit(task, 0)

    def next_done(self) -> tuple[Task, str | None]:
        """Wait for the next station that is made, or that failed for good."""
        import ray

        while True:
            names = ", ".join(f"{task.goal.name}: {task.missing.station}" for task, _ in self._under_way.values())
            with waiting(f"on the cluster: {names}"):
                (first, *_), _ = ray.wait(list(self._under_way))
            task, retries = self._under_way.pop(first)
            try:
                told, failure = ray.get(first)
            except ray.exceptions.RayTaskError as error:  # nothing of ours: marwright cannot be imported there
                return task, f"the worker cannot begin: {first_line(error.cause or error)}"
            except ray.exceptions.RayError as error:
                lost = f"{task.missing.station} lost its worker ({type(error).__name__})"
                if retries == RETRIES:
                    return task, f"{lost} again: {first_line(error)}"
                say(f"  {task.goal.name}: {lost}, goes on with another")
                self._submit(task, retries + 1)
                continue
            if failure is None:
                say(f"  {task.goal.name}: {task.missing.station} {told}")
            return task, failure

    def _submit(self, task: Task, retries: int) -> None:
        trace = self._folder.failure(task.goal.name)
        reference = self._remote.remote(task, Path.cwd(), self._token, trace, self._threads)
        self._under_way[reference] = task, retries


def _room(resources: Mapping[str, float], cluster: Cluster) -> int:
    """How many models a node can train at a time."""
    room = resources.get("CPU", 0) // cluster.cpus
    return int(min(room, resources.get("GPU", 0) // cluster.gpus) if cluster.gpus else room)


@contextmanager
def _token(folder: CandidatesFolder) -> Iterator[Path]:
    """A file of a new name, which no node can have seen before, for as long as workers look for it."""
    for left in folder.root.glob(".token-*"):
        left.unlink(missing_ok=True)
    token = folder.root / f".token-{secrets.token_hex(8)}"
    write_text(token, "")
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)


def _make(task: Task, folder: Path, token: Path, trace: Path, threads: int) -> tuple[str, str | None]:
    """Make a station, in a worker's process.

    Args:
        task: what to make.
        folder: where relative paths of the configuration start.
        token: a file in the shared folder that the driver has just written.
        trace: where the traceback of an unforeseen failure is kept.
        threads: to compute with.

    Returns:
        how long it took, and where; and why it failed, if it did.
    """
    node, began = platform.node(), time.monotonic()

    def work() -> None:
        if not (folder / token).is_file():
            raise MarwrightError(
                f"{node} does not have {(folder / token).parent} as the machine that explores: all nodes need the "
                "folder of runs on a shared file system, under the same path."
            )
        with chdir(folder):
            _check_inputs(task, node)
            import torch

            torch.set_num_threads(threads)
            build(task.goal.config, task.missing.station, run=task.goal.run, brief=True)

    failure = why_it_fails(folder / trace, work)
    return f"done in {time.monotonic() - began:.0f} s on {node}", failure


def _check_inputs(task: Task, node: str) -> None:
    """Refuse to work from other things than the driver has seen; what was written just now may appear late."""
    deadline = time.monotonic() + SEEN_S
    while (missing := task.goal.first_missing()) != task.missing:
        if time.monotonic() > deadline:
            seen = "nothing" if missing is None else f"another {missing.station}"
            raise MarwrightError(
                f"{node} finds {seen} to make where {task.missing.station} is next: all nodes need the same table, "
                "checkpoints and packages as the machine that explores, under the same paths."
            )
        time.sleep(_PAUSE_S)
