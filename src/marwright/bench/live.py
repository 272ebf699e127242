"""The one line that a person sees while the generator works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from rich.live import Live
from rich.text import Text

from marwright.bench.generator import Observer, Record
from marwright.bench.schedule import Load
from marwright.console.progress import console
from marwright.metrics.latency import percentile

# Sorting more would take the generator's time.
_LATEST = 20_000
# A rate needs some time to be one.
_EARLY_S = 0.4


@contextmanager
def live_line(load: Load) -> Iterator[Observer | None]:
    """Yield an observer that keeps a line on the terminal; nothing where there is no terminal, and no cost."""
    if not console().is_terminal:
        yield None
        return
    with Live(console=console(), auto_refresh=False, transient=True) as live:

        def observe(seconds: float, record: Record) -> None:
            live.update(Text(line(seconds, record, load)), refresh=True)

        yield observe


def line(seconds: float, record: Record, load: Load) -> str:
    """Elapsed time, rate, p99 and failures so far."""
    if seconds < load.warm_up_s:
        return f"{seconds:.0f} s of {load.warm_up_s:g} s warm-up"
    counted = min(seconds - load.warm_up_s, load.duration_s)
    words = [f"{counted:.0f} s of {load.duration_s:g} s"]
    if counted > _EARLY_S:
        words.append(f"{record.answered_in_time / counted:.0f} answers/s")
    if record.latencies:
        words.append(f"p99 {1000 * percentile(np.asarray(record.latencies[-_LATEST:]), 99):.1f} ms")
    if failures := record.failures.total():
        words.append(f"{failures} failed")
    return " · ".join(words)
