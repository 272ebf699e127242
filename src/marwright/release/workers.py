"""The workers of a new version: how many, whether there is memory for them, and when they are ready."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from marwright.errors import ServerError
from marwright.mar.reading import describe
from marwright.processes.interrupts import end_children, held
from marwright.server.failure import StartLog
from marwright.server.versions import Version, Versions

_PAUSE_S = 0.2
_LOW_PRIORITY = 10


def workers_for(archive: Path, old: Version, wanted: int | None) -> int:
    """How many workers a new version gets: as wanted, as its own settings say, or as many as the old one has."""
    own = (describe(archive)["model_config"] or {}).get("minWorkers")
    return wanted or (own if isinstance(own, int) and own > 0 else None) or max(old.workers, 1)


def require_memory(old: Version, workers: int) -> None:
    """Check that another set of workers fits beside the old one's, where these run on this machine.

    Raises:
        ServerError: it would not; the machine would then end processes, perhaps those that answer now.
    """
    sizes = []
    for process_id in old.process_ids:
        # Elsewhere these numbers are other processes, or none.
        with suppress(psutil.Error):
            process = psutil.Process(process_id)
            if any("model_service_worker" in word for word in process.cmdline()):
                sizes.append(process.memory_full_info().uss)
    needed = workers * max(sizes, default=0)
    available = psutil.virtual_memory().available
    if needed > available:
        raise ServerError(
            f"{workers} more workers need about {needed / 1e6:,.0f} MB beside the old ones, and "
            f"{available / 1e6:,.0f} MB are free: take fewer with --workers, or another machine."
        )


T = TypeVar("T")


def calmly(work: Callable[[], T]) -> T:
    """Do something in a thread that has, with the processes it starts, only the time that the server's workers leave.

    A signal ends those processes, and with them the work.
    """
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    pool = ThreadPoolExecutor(1, initializer=_yield_to_others)
    future = None
    try:
        with held():  # a signal before the work has its name here would leave it running
            future = pool.submit(work)
        return future.result()
    except KeyboardInterrupt:
        with held():
            while future is not None and not future.done():
                end_children(but=before)
                wait([future], _PAUSE_S)
        raise
    finally:
        pool.shutdown()


def _yield_to_others() -> None:
    """Let this thread, and the processes it starts, have only the time that the server's workers leave."""
    # Linux gives each thread a priority of its own; elsewhere nothing changes.
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)


def start_workers(versions: Versions, version: str, workers: int, log: StartLog | None, timeout_s: float) -> str | None:
    """Start a version's workers, few at a time: loading takes the cores from those that answer.

    Each few of them may take ``timeout_s`` seconds. The server's log has the reason of a failure, where it can be read.

    Returns:
        Why they will never be ready; ``None`` when they are.

    Raises:
        ServerError: the server cannot be asked.
    """
    at_a_time = max(1, (os.cpu_count() or 1) // 4)
    failure = None
    for started in range(at_a_time, workers + at_a_time, at_a_time):
        if failure is None:
            versions.scale(version, min(started, workers))
            failure = _wait_for(versions, version, min(started, workers), log, timeout_s)
    return failure


def _wait_for(versions: Versions, version: str, workers: int, log: StartLog | None, timeout_s: float) -> str | None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        described = versions.get(version)
        if described is None:
            return "the server has unregistered it"
        if described.workers >= workers and described.ready >= workers:
            return None
        if log is not None and (failure := log.failure()):
            return failure
        time.sleep(_PAUSE_S)
    where = f" (see {log.logs})" if log else ""
    return f"its workers were not ready after {timeout_s:g} seconds{where}"
