"""One process at a time: what writes into a folder holds the folder's lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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

    Unless it is to ``keep``, the file is removed afterwards.

    Raises:
        MarwrightError: another process still holds it after ``wait_s`` seconds, which ``taken`` tells the user, or the
            file cannot be written; the class is ``error``.
    """
    if not is_main():
        yield
        return
    from filelock import FileLock, Timeout

    if not file.parent.is_dir():  # filelock would make it
        raise error(f"{file}: cannot be written: {file.parent} is no folder.")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=wait_s, poll_interval=_PAUSE_S)
    except Timeout:
        raise error(taken) from None
    except OSError as failure:
        raise error(f"{file}: cannot be written: {failure.strerror or failure}.") from failure
    try:
        yield
    finally:
        if not keep:
            with suppress(OSError):
                file.unlink()  # while it is held: whoever waits for it sees that it is gone, and makes another
        lock.release()
