"""When requests are due: at an even rate whatever the server does, or each when a client has its last answer."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from marwright.errors import MarwrightError

CLOSED_CLIENTS = 32
OPEN_CONNECTIONS = 128
# A client that cannot even connect waits a little, or it would do nothing but fail.
PAUSE_AFTER_FAILURE_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Load:
    """How hard and how long a server is asked.

    ``rate`` is in requests per second, due at even intervals however slow the answers are (open loop). Without it,
    ``clients`` clients each send their next request when the last one is answered (closed loop; 32 by default). With
    it, ``clients`` bounds the connections (128 by default); a request that finds all of them busy waits, and its
    waiting counts.

    What is due in the first ``warm_up_s`` seconds is sent and not counted; what is due in the ``duration_s`` seconds
    after them is. A request without an answer ``timeout_s`` seconds after it was due has failed.
    """

    rate: float | None = None
    clients: int | None = None
    duration_s: float = 20
    warm_up_s: float = 3
    timeout_s: float = 10

    def __post_init__(self) -> None:
        positive = {"rate": self.rate, "clients": self.clients, "duration": self.duration_s, "timeout": self.timeout_s}
        for name, value in positive.items():
            if value is not None and not 0 < value < math.inf:
                raise MarwrightError(f"{name} must be a positive number, not {value:g}.")
        if not 0 <= self.warm_up_s < math.inf:
            raise MarwrightError(f"warm-up must be zero or more seconds, not {self.warm_up_s:g}.")

    @property
    def connections(self) -> int:
        """The most connections at a time."""
        return self.clients or (CLOSED_CLIENTS if self.rate is None else OPEN_CONNECTIONS)

    def schedule(self, start: float) -> Schedule:
        """The moments at which requests are due, for a run that begins at ``start`` (seconds)."""
        end = start + self.warm_up_s + self.duration_s
        return ClosedLoop(start, end, self.connections) if self.rate is None else OpenLoop(start, end, self.rate)


class Schedule:
    """Says when requests are due. All moments are seconds of one clock; ``next_due`` is infinite at the end."""

    next_due: float

    def take(self) -> float:
        """Return ``next_due`` and go on to the moment after it."""
        raise NotImplementedError

    def answered(self, now: float) -> None:
        """Note that a client has its answer, or has given up on it."""

    def failed(self, now: float) -> None:
        """Note that a client could not reach the server."""


class OpenLoop(Schedule):
    """Due at ``start``, ``start + 1/rate``, … up to ``end``; the server has no say in it."""

    def __init__(self, start: float, end: float, rate: float) -> None:
        self._start, self._end, self._rate = start, end, rate
        self._taken = 0
        self.next_due = start

    def take(self) -> float:
        due = self.next_due
        self._taken += 1
        # Not due + 1/rate: the rounding errors of a long run would add up.
        following = self._start + self._taken / self._rate
        self.next_due = following if following < self._end else math.inf
        return due


class ClosedLoop(Schedule):
    """Due at ``start`` once per client, and then whenever a client is free, up to ``end``."""

    def __init__(self, start: float, end: float, clients: int) -> None:
        self._end = end
        self._due = [start] * clients
        self.next_due = start

    def take(self) -> float:
        due = heapq.heappop(self._due)
        self.next_due = self._due[0] if self._due else math.inf
        return due

    def answered(self, now: float) -> None:
        if now < self._end:
            heapq.heappush(self._due, now)
            self.next_due = self._due[0]

    def failed(self, now: float) -> None:
        self.answered(now + PAUSE_AFTER_FAILURE_S)
