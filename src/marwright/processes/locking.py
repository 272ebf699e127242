"""One process at a time: what writes into a folder holds the folder's lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from marwright.errors import MarwrightError
from marwright.processes.launched import is_main

_PAUSE_S = 0.1


@contextmanager
def locked(
    file: Path,
    taken: str,
    *,
    wait_s: float = 0,
    keep: bool = True,
    error: type[MarwrightError] = MarwrightError,
) -> Iterator[None]:
    """Hold a lock file; a kill lets go of it. Of several processes of one build the main one holds it for all.

    Args:
        file: the lock, in a folder that exists.
        taken: what the user is told if another process holds it.
        wait_s: how long to wait for that process, in seconds.
        keep: leave the file there; otherwise it is removed afterwards.
        error: what is raised.

    Raises:
        MarwrightError: another process holds it, or the file cannot be written.
    """
    if not is_main():
        yield
        return
    deadline = time.monotonic() + wait_s
    while (lock := _held(file, error)) is None:
        if time.monotonic() >= deadline:
            raise error(taken)
        time.sleep(_PAUSE_S)
    with lock:
        try:
            yield
        finally:
            if not keep:
                with suppress(OSError):
                    file.unlink()


def _held(file: Path, error: type[MarwrightError]) -> IO[str] | None:
    """The open file if this process holds its lock now."""
    import fcntl

    try:
        lock = file.open("w")
    except OSError as failure:
        raise error(f"{file}: cannot be written: {failure.strerror or failure}.") from failure
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before may have removed the file: then others lock another one of that name.
        if file.stat().st_ino == os.fstat(lock.fileno()).st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as failure:
        lock.close()
        raise error(f"{file}: cannot be locked: {failure.strerror or failure}.") from failure
    lock.close()
    return None
