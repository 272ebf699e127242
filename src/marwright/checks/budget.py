"""What may be spent on looking at something that strangers have made: bytes, items and seconds."""

from __future__ import annotations

import time

from marwright.errors import ArchiveError


class OverBudget(ArchiveError):
    """Looking further would take more memory or time than what is looked at deserves."""


class Budget:
    """Counts what is spent, for a whole archive.

    Args:
        size: bytes of the archive; what unpacks to many times its size was made to fill a memory.
        seconds: of this thread's own time, so that a busy machine refuses nothing that an idle one takes.
        items: opcodes, entries of zip files and nodes of syntax trees, together.
    """

    def __init__(self, size: int = 0, *, seconds: float = 4.0, items: int = 2_500_000) -> None:
        self._bytes = (256 << 20) + 4 * size
        self._items = items
        self._until = time.thread_time() + seconds
        self._next_look = items

    def spend(self, *, items: int = 0, size: int = 0) -> None:
        """Take from what is left; an OverBudget says that there is not so much."""
        self._items -= items
        self._bytes -= size
        if self._items < 0 or self._bytes < 0:
            raise OverBudget("there is more in it than can be looked through")
        # A look at the clock costs as much as an item does.
        if size or self._items <= self._next_look:
            self._next_look = self._items - 1000
            if time.thread_time() > self._until:
                raise OverBudget("looking through it takes too long")
