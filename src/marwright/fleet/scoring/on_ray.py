"""The actors of a Ray cluster as workers, by Ray Data."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from marwright.errors import MarwrightError, first_line
from marwright.fleet.scoring.blocks import Block
from marwright.fleet.scoring.work import Done, Work
from marwright.processes.ray_cluster import connected

# A killed worker does the blocks of its task again, and a part is heard of when its task is done.
_MOST_BLOCKS = 16


class Worker:
    """Loads the archive once and scores blocks; Ray Data starts one for each actor."""

    def __init__(self, work: Work, archive: Any) -> None:
        """Take the archive out of Ray's object store: no disk needs to be shared for it."""
        import ray

        self._folder = TemporaryDirectory(prefix="marwright-")
        file = Path(self._folder.name) / Path(work.archive).name
        file.write_bytes(ray.get(archive))
        self._work = replace(work, archive=str(file))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Score the blocks of a batch."""
        rows = [self._scored(block) for blocks in batch["blocks"] for block in pickle.loads(blocks)]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _scored(self, block: Block) -> dict[str, Any]:
        try:
            return asdict(self._work(block)) | {"problem": ""}
        except Exception as error:
            # As a value: Ray would wrap an exception, and try again.
            problem = str(error) if isinstance(error, MarwrightError) else _unforeseen(block, error)
            return asdict(Done(block.name, 0, 0)) | {"problem": problem}


def _unforeseen(block: Block, error: Exception) -> str:
    why = f"{type(error).__name__}: {first_line(error)}"
    return f"{block.source.place}: {block.span.rows:,} rows from row {block.span.first:,} on cannot be scored: {why}."


def score_on_ray(work: Work, blocks: Sequence[Block], workers: int | None, address: str | None) -> Generator[Done]:
    """Score blocks.

    Args:
        work: its output is reached from every node.
        blocks: what is to be done.
        workers: actors, with a core each; all cores of the cluster if not given.
        address: of the cluster, ``auto`` for the one of this machine; without one, the cluster that Ray finds here, or
            else one of this machine alone for the length of the job.

    Raises:
        MarwrightError: Ray is not installed, there is no such cluster, or the work raises it.
    """
    with connected(address):
        import ray

        try:
            yield from _scored(work, blocks, workers)
        except ray.exceptions.RayTaskError as error:  # Ray's own words are the stack of another process
            cause = f"{type(error.cause).__name__}: {first_line(error.cause)}"
            raise MarwrightError(f"Ray cannot score: {cause}.") from error
        except (ray.exceptions.RayError, ConnectionError) as error:
            raise MarwrightError(f"Ray cannot score: {first_line(error)}. The same command goes on.") from error
        except (ValueError, RuntimeError) as error:
            raise MarwrightError(f"Ray cannot score: {first_line(error)}.") from error


def tasks_of(blocks: Sequence[Block], workers: int) -> list[Sequence[Block]]:
    """Divide blocks into tasks: each has half of what is then left for a worker.

    Few tasks cost the driver little, and small ones at the end let the workers end together (guided self-scheduling,
    Polychronopoulos and Kuck, 1987).
    """
    tasks: list[Sequence[Block]] = []
    left = blocks
    while left:
        size = min(ceil(len(left) / (2 * workers)), _MOST_BLOCKS)
        tasks.append(left[:size])
        left = left[size:]
    return tasks


def _scored(work: Work, blocks: Sequence[Block], workers: int | None) -> Generator[Done]:
    import ray
    import ray.data

    count = min(workers or int(ray.cluster_resources().get("CPU", 1)), len(blocks))
    tasks = tasks_of(blocks, count)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    todo = ray.data.from_items([{"blocks": pickle.dumps(each)} for each in tasks], override_num_blocks=len(tasks))
    parts = todo.map_batches(
        Worker,
        fn_constructor_kwargs={"work": work, "archive": ray.put(Path(work.archive).read_bytes())},
        batch_size=None,
        concurrency=count,
        num_cpus=1,
        num_gpus=0 if work.device == "cpu" else 1,
    )
    for row in parts.iter_rows():
        if problem := row.pop("problem"):
            raise MarwrightError(problem)
        yield Done(**row)
