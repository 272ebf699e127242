"""How much memory the processes of a server take while it answers, and whether that grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import psutil
from scipy.stats import theilslopes

_EDGE = 0.15
"""The share of the samples that counts as the beginning, and as the end."""


@dataclass
class Samples:
    """What one process took, at ``seconds`` since the first look: resident and private memory in MB, open files."""

    seconds: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    uss: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Growth:
    """From the beginning to the end (medians of a seventh of the samples each), and the fitted slope.

    ``share`` is end over beginning, less one. ``per_hour`` is the median of the slopes between all pairs of samples
    (Theil 1950, Sen 1968), which single jumps do not move.
    """

    start: float
    end: float
    most: float
    share: float
    per_hour: float

    @classmethod
    def of(cls, seconds: Sequence[float], values: Sequence[float]) -> Growth:
        """Fit what was sampled; needs two samples at least."""
        found = np.asarray(values)
        edge = max(1, int(_EDGE * len(found)))
        start, end = float(np.median(found[:edge])), float(np.median(found[-edge:]))
        slope = float(theilslopes(found, seconds).slope)
        return cls(start, end, float(found.max()), end / start - 1, 3600 * slope)


@contextmanager
def watched(processes: Mapping[str, psutil.Process], every_s: float) -> Iterator[dict[str, Samples]]:
    """Sample processes for the length of a ``with`` block, from a thread of its own, at both ends at least."""
    samples = {name: Samples() for name in processes}
    over, started = threading.Event(), time.monotonic()

    def look() -> None:
        for name, process in processes.items():
            memory = process.memory_full_info()
            found = samples[name]
            found.seconds.append(time.monotonic() - started)
            found.rss.append(memory.rss / 1e6)
            found.uss.append(memory.uss / 1e6)
            found.files.append(process.num_fds())

    def keep_looking() -> None:
        while not over.wait(every_s):
            look()

    look()
    watcher = threading.Thread(target=keep_looking, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        over.set()
        watcher.join()
    look()
