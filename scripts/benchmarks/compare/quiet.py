"""Notices other programs on the machine: they take what the servers are then said to lack."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from compare.serving import Server
from marwright.console.progress import say

_QUIET_SHARE = 0.1
_LOOK_S = 2.0


@dataclass
class Others:
    """``share`` is the processor time that others have taken, as a share of one core; known after the block."""

    share: float = 0.0

    @property
    def doubt(self) -> str | None:
        """What there is to say against figures measured meanwhile."""
        if self.share < _QUIET_SHARE:
            return None
        return f"other programs took up to {self.share:.0%} of a core"


@contextmanager
def watched(server: Server | None = None) -> Iterator[Others]:
    """Find out what share of a core was taken by others than this process, and the server if there is one."""

    def own_s() -> float:
        return time.process_time() + (0.0 if server is None else server.cpu_s())

    others = Others()
    busy, own, started = _busy_s(), own_s(), time.perf_counter()
    yield others
    taken = _busy_s() - busy - (own_s() - own)
    others.share = max(0.0, taken / (time.perf_counter() - started))


def wait_for_quiet(patience_s: float) -> None:
    """Wait until other programs hardly take anything, or until patience is at its end; no server may be running."""
    deadline = time.monotonic() + patience_s
    told = False
    while time.monotonic() < deadline:
        with watched() as others:
            time.sleep(_LOOK_S)
        if others.doubt is None:
            return
        if not told:
            say(f"waiting up to {patience_s:g} s for other programs to end")
            told = True


def _busy_s() -> float:
    """Processor time of the whole machine that was not idle, in seconds since its start."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
