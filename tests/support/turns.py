"""Lets tests run side by side, but for what measures time: that has the machine for itself."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class Turn:
    """A test's place among those of other processes."""

    def __init__(self, door: IO[str], room: IO[str]) -> None:
        self._door, self._room = door, room

    def take(self, *, alone: bool) -> None:
        """Wait for it; alone is who waits until no other test is at work, and lets none begin meanwhile."""
        # Whoever waits for the room stands in the door: without it, others would come and go past a test that waits
        # to be alone. Nobody waits while he is in the room himself.
        fcntl.flock(self._room, fcntl.LOCK_UN)
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the machine for a block of a test that runs beside others."""
        self.take(alone=True)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_SH)


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[Turn]:
    """Wait for a test's turn among those of other processes, and keep it.

    Args:
        folder: the same for all of them.
        alone: wait until no other test is at work, and let none begin meanwhile.
    """
    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        own = Turn(door, room)
        own.take(alone=alone)
        yield own
