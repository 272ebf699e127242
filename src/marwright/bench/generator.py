"""Sends the requests when they are due and notes what becomes of each: one thread, one selector, no blocking call.

The generator shares the machine with the server, so what it costs is measured with everything else. It waits with
``select`` on the selector's own descriptor, which takes microseconds where epoll takes whole milliseconds: at 500
requests per second, half a millisecond of rounding on each would be a quarter of the interval.
"""

from __future__ import annotations

import gc
import itertools
import math
import select
import selectors
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from marwright.bench.connection import Address, Connection
from marwright.bench.schedule import Load

# Between two looks at the clock for requests that have waited too long, and between two calls of the observer.
_SWEEP_S = 0.05
_OBSERVE_S = 0.5

clock = time.perf_counter


@dataclass
class Record:
    """What became of the requests that were due in the counted seconds.

    ``latencies`` are seconds from the moment a request was due to the end of its answer, in the order of the answers;
    one that timed out stands there with the time it was given. ``refusals`` are the same of answers with another status
    than 2xx. ``lateness`` is how long after that moment the generator had it in hand, in seconds: its own fault, and
    part of the latency all the same. ``answered_in_time`` counts good answers that came within the counted seconds,
    whenever they were due. ``cpu_s`` and ``wall_s`` are of the whole run, as is ``sent``.
    """

    latencies: array[float] = field(default_factory=lambda: array("d"))
    refusals: array[float] = field(default_factory=lambda: array("d"))
    lateness: array[float] = field(default_factory=lambda: array("d"))
    failures: Counter[str] = field(default_factory=Counter)
    due: int = 0
    ok: int = 0
    answered_in_time: int = 0
    connections: int = 0
    sent: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0


Observer = Callable[[float, Record], None]
"""Called now and then with the seconds since the start and the record so far. It must be quick."""


class Generator:
    """One run against one address; make a new one for the next."""

    def __init__(self, address: Address, requests: Sequence[bytes], load: Load, observer: Observer | None) -> None:
        self._address, self._load, self._observer = address, load, observer
        self._requests: Iterator[bytes] = itertools.cycle(requests)
        self._record = Record()
        self._selector = selectors.DefaultSelector()
        self._connections: list[Connection] = []
        self._idle: list[Connection] = []
        self._waiting: deque[float] = deque()  # when they were due

    def run(self) -> Record:
        """Send requests until the load's time is over and the last one is answered or given up."""
        load, record = self._load, self._record
        with _garbage_kept():
            cpu_s, start = time.process_time(), clock()
            self._counted_from = start + load.warm_up_s
            self._end = self._counted_from + load.duration_s
            self._schedule = load.schedule(start)
            try:
                self._work(start)
            finally:
                for connection in self._connections:
                    connection.close()
                self._selector.close()
            record.cpu_s, record.wall_s = time.process_time() - cpu_s, clock() - start
        record.connections = len(self._connections)
        return record

    def answered(self, connection: Connection, due: float, status: int) -> None:
        """The whole answer to the request that was due then has come, with this HTTP status."""
        now = clock()
        record = self._record
        if now - due > self._load.timeout_s:
            self._fail("timeout", due)
        elif 200 <= status < 300:
            if self._counted_from <= now < self._end:
                record.answered_in_time += 1
            if due >= self._counted_from:
                record.ok += 1
                record.latencies.append(now - due)
        else:
            self._fail(f"HTTP {status}", due)
            if due >= self._counted_from:
                record.refusals.append(now - due)
        self._idle.append(connection)
        self._schedule.answered(now)

    def broken(self, connection: Connection, due: float) -> None:
        """There will be no answer: no connection, one that broke, or one that does not speak HTTP."""
        self._fail("connection", due)
        self._idle.append(connection)
        self._schedule.failed(clock())

    def _fail(self, kind: str, due: float) -> None:
        if due >= self._counted_from:
            self._record.failures[kind] += 1
            if kind == "timeout":
                self._record.latencies.append(self._load.timeout_s)

    def _work(self, start: float) -> None:
        schedule, waiting = self._schedule, self._waiting
        next_sweep, next_observation = start, start + _OBSERVE_S
        while True:
            now = clock()
            while schedule.next_due <= now:
                due = schedule.take()
                if due >= self._counted_from:
                    self._record.due += 1
                    self._record.lateness.append(now - due)
                waiting.append(due)
            if waiting:
                self._send_waiting()
            if now >= next_sweep:
                next_sweep = now + _SWEEP_S
                self._give_up(now)
                if (
                    schedule.next_due == math.inf
                    and not waiting
                    and all(each.due is None for each in self._connections)
                ):
                    return
            if now >= next_observation and self._observer:
                next_observation = now + _OBSERVE_S
                self._observer(now - start, self._record)
            for key, events in self._ready(min(schedule.next_due, next_sweep) - clock()):
                key.data.handle(events)

    def _send_waiting(self) -> None:
        """Send the requests that are due over the connection used last, or a new one, as long as there are any."""
        waiting, idle = self._waiting, self._idle
        # A connection that cannot be made comes back at once: each is used once, or this might never end.
        for _ in range(len(waiting)):
            if idle:
                connection = idle.pop()
            elif len(self._connections) < self._load.connections:
                connection = Connection(self._address, self._selector, self)
                self._connections.append(connection)
            else:
                return
            self._record.sent += 1
            connection.send(next(self._requests), waiting.popleft())

    def _ready(self, timeout_s: float) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout_s > 0 and not select.select((self._selector,), (), (), timeout_s)[0]:
            return []
        return self._selector.select(0)

    def _give_up(self, now: float) -> None:
        """Count as failed what has been due for too long, whether it was sent or not."""
        oldest = now - self._load.timeout_s
        while self._waiting and self._waiting[0] < oldest:
            self._fail("timeout", self._waiting.popleft())
            self._schedule.answered(now)
        for connection in self._connections:
            due = connection.due
            if due is not None and due < oldest:
                connection.close()
                self._fail("timeout", due)
                self._idle.append(connection)
                self._schedule.answered(now)


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Let no garbage collection fall into the block."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
