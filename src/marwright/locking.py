"""One process at a time: what writes into a folder holds the folder's lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marwright.errors import MarwrightError
from marwright.processes import is_main


@contextmanager
def locked(file: Path, taken: str) -> Iterator[None]:
    """Hold a lock file; a kill lets go of it. Of several processes of one build the main one holds it for all.

    Raises:
        MarwrightError: another process holds it; ``taken`` is what the user is told.
    """
    import fcntl

    if not is_main():
        yield
        return
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MarwrightError(taken) from None
        yield
