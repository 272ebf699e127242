"""The actors of a Ray cluster as workers, by Ray Data."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from marwright.errors import MarwrightError, first_line
from marwright.fleet.scoring.blocks import Block
from marwright.fleet.scoring.work import Done, Work
from marwright.processes.ray_cluster import connected

# Each task costs the driver some milliseconds, so a task of a large job holds several blocks. Every worker still gets
# many tasks, since at the end some workers wait for others. A killed worker loses one task.
_TASKS_OF_A_WORKER = 16
_MOST_BLOCKS_OF_A_TASK = 16


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
        rows = [self._scored(pickle.loads(block)) for block in batch["block"]]
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


def _scored(work: Work, blocks: Sequence[Block], workers: int | None) -> Generator[Done]:
    import ray
    import ray.data

    count = min(workers or int(ray.cluster_resources().get("CPU", 1)), len(blocks))
    blocks_of_a_task = min(max(1, len(blocks) // (count * _TASKS_OF_A_WORKER)), _MOST_BLOCKS_OF_A_TASK)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    todo = ray.data.from_items(
        [{"block": pickle.dumps(block)} for block in blocks], override_num_blocks=-(-len(blocks) // blocks_of_a_task)
    )
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
