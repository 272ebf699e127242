"""The processes of this machine as workers: one for each core, each with the archive loaded once."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection

from marwright.errors import MarwrightError
from marwright.fleet.scoring.blocks import Block
from marwright.fleet.scoring.work import Done, forget_model
from marwright.model.worker_state import TOKENIZERS

MOST_DEATHS = 4
"""Times that a worker may die before another part is written."""


def score_here(work: Callable[[Block], Done], blocks: Sequence[Block], workers: int) -> Generator[Done]:
    """Score blocks; one worker is this process itself.

    A worker that is killed, as by a machine that has no memory left, costs nothing but the time: new ones do its block.

    Raises:
        MarwrightError: workers die again and again, or the work raises it.
    """
    if workers == 1:
        try:
            yield from map(work, blocks)
        finally:
            forget_model()
        return
    left, deaths = dict.fromkeys(blocks), 0
    while left:
        try:
            for block, done in _in_processes(work, list(left), workers):
                del left[block]
                deaths = 0
                yield done
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == MOST_DEATHS:
                raise MarwrightError(
                    "The workers die before they have written anything. Give fewer --workers if memory is short. In a "
                    'program, call marwright.score under `if __name__ == "__main__":`.'
                ) from error


def _in_processes(
    work: Callable[[Block], Done], blocks: Sequence[Block], workers: int
) -> Generator[tuple[Block, Done]]:
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    rest, pending = iter(blocks), dict[Future[Done], Block]()
    # A worker that is killed leaves what it has unpacked; all of them have their folders in one of this process.
    with tempfile.TemporaryDirectory(prefix="marwright-", ignore_cleanup_errors=True) as folder:
        pool = ProcessPoolExecutor(workers, context, _begin, (theirs, folder))
        try:
            while True:
                for block in islice(rest, 2 * workers - len(pending)):
                    pending[pool.submit(work, block)] = block
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield pending.pop(future), future.result()
        finally:
            ours.close()
            theirs.close()
            pool.shutdown(cancel_futures=True)


def _begin(life: Connection, folder: str) -> None:
    """Prepare a worker, which ends when the other end of ``life`` is closed, as by the death of its parent."""
    import pyarrow

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = folder
    threading.Thread(target=_end_with, args=(life, folder), daemon=True).start()
    # Before torch is imported; an archive that wants more threads takes them. Warnings would break the progress bar.
    os.environ |= {TOKENIZERS: "false", "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    pyarrow.set_cpu_count(1)


def _end_with(life: Connection, folder: str) -> None:
    life.poll(None)
    # A parent that was killed removes nothing.
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
