"""Lets tests run side by side, but for those that measure time: each of them has the machine for itself."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait for a test's turn among those of other processes, and keep it.

    Args:
        folder: the same for all of them.
        alone: wait until no other test is at work, and let none begin meanwhile.
    """
    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        # Whoever waits for the room stands in the door: without it, others would come and go past a test that waits
        # to be alone.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
