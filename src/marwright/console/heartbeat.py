"""A line now and then where no bar can be seen: the reader of a log must be able to tell work from a standstill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

QUIET_S = 25.0
"""A line follows a silence of this length; with the time between two looks that is less than half a minute."""

_LOOK_EVERY_S = 1.0


@dataclass(eq=False)
class Work:
    """Something that is under way."""

    what: str
    began: float
    total: float | None = None
    completed: float = 0.0
    note: str = ""
    over: bool = False

    def update(
        self,
        status: str | None = None,
        *,
        total: float | None = None,
        completed: float | None = None,
        note: str | None = None,
    ) -> None:
        """Change what is given; ``status`` says anew what it is."""
        self.what = self.what if status is None else status
        self.total = self.total if total is None else total
        self.completed = self.completed if completed is None else completed
        self.note = self.note if note is None else note

    def stop(self) -> None:
        """It is over; the rest of its block is other work."""
        self.over = True

    def line(self, now: float) -> str:
        """How far it is."""
        words = [f"  {self.what or 'working'}:"]
        if self.total:
            words.append(f"{self.completed:,.0f} of {self.total:,.0f},")
        elif self.completed:
            words.append(f"{self.completed:,.0f},")
        words.append(_duration(now - self.began))
        if self.total and 0 < self.completed < self.total:
            left = (now - self.began) * (self.total - self.completed) / self.completed
            words.append(f"so far, about {_duration(left)} left")
        else:
            words.append("so far")
        return " ".join([*words, *([f"({self.note})"] if self.note else [])])


@dataclass
class Heartbeat:
    """Says how far the innermost work is, once nothing has been said for a while.

    Args:
        say: where a line goes.
        clock: seconds.
        ticking: look by itself, in a thread that lives while there is work.
    """

    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    ticking: bool = True
    _under_way: list[Work] = field(default_factory=list)
    _spoken: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _thread: threading.Thread | None = None
    _end: threading.Event = field(default_factory=threading.Event)

    def begin(self, what: str, total: float | None = None, completed: float = 0.0) -> Work:
        with self._lock:
            work = Work(what, self.clock(), total, completed)
            if not self._under_way:
                self._spoken = self.clock()
            self._under_way.append(work)
            if self.ticking and self._thread is None:
                self._end = threading.Event()
                self._thread = threading.Thread(target=self._tick, args=(self._end,), name="heartbeat", daemon=True)
                self._thread.start()
        return work

    @contextmanager
    def over(self, what: str) -> Iterator[Work]:
        work = self.begin(what)
        try:
            yield work
        finally:
            self.end(work)

    def end(self, work: Work) -> None:
        """Note that it is done, with all that was begun in it and broke off."""
        with self._lock:
            if work in self._under_way:
                del self._under_way[self._under_way.index(work) :]
            if not self._under_way and self._thread is not None:
                self._end.set()
                self._thread = None

    def spoken(self) -> None:
        """Note that a line was written."""
        self._spoken = self.clock()

    def beat(self) -> None:
        """Write a line if one is due."""
        with self._lock:
            now = self.clock()
            innermost = next((work for work in reversed(self._under_way) if not work.over), None)
            if innermost is None or now - self._spoken < QUIET_S:
                return
            self._spoken = now
            line = innermost.line(now)
        self.say(line)

    def _tick(self, end: threading.Event) -> None:
        while not end.wait(_LOOK_EVERY_S):
            self.beat()


class PipedBar:
    """The methods of a progress bar for where there is no terminal: a line now and then."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._works: list[Work] = []

    def __enter__(self) -> PipedBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Tasks begin when they are added."""

    def stop(self) -> None:
        """All tasks are over."""
        for work in self._works:
            self._heartbeat.end(work)

    def add_task(self, description: str, total: float | None = None, completed: float = 0, **fields: Any) -> Any:
        self._works.append(self._heartbeat.begin(description, total, completed))
        return len(self._works) - 1

    def update(self, task: Any, *, description: str | None = None, **fields: Any) -> None:
        """Change ``description``, ``completed``, ``total`` or ``note``, and nothing else.

        Raises:
            TypeError: another one is given.
        """
        self._works[task].update(description, **fields)

    def advance(self, task: Any) -> None:
        self._works[task].completed += 1


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
