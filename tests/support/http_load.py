"""Clients that ask at an even rate until they are told to stop, and note every answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Load:
    """What became of the requests so far."""

    answers: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)
    """Status, body and headers, with names in small letters, of those that were answered at all."""
    broken: int = 0
    """Those that got no answer."""

    @property
    def failures(self) -> int:
        """Requests without a good answer."""
        return self.broken + sum(status != 200 for status, _, _ in self.answers)


@contextmanager
def load(url: str, bodies: Sequence[bytes], clients: int = 4, rate: float = 150) -> Iterator[Load]:
    """Ask in as many threads as there are clients, each over a connection of its own, while the block runs.

    Args:
        url: where it is asked.
        bodies: of the requests, again and again.
        clients: how many requests may be in hand.
        rate: requests per second of all clients: what is tried needs the cores more than the load does.
    """
    found, ended = Load(), threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(url, bodies[at::clients], clients / rate, found, ended))
        for at in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _ask(url: str, bodies: Sequence[bytes], pause_s: float, found: Load, ended: threading.Event) -> None:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    at = 0
    due = time.monotonic()
    while not ended.wait(due - time.monotonic()):
        due = max(due + pause_s, time.monotonic())
        try:
            connection.request("POST", place.path, bodies[at % len(bodies)], {"Content-Type": "application/json"})
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            found.answers.append((answer.status, answer.read(), headers))
        except (OSError, http.client.HTTPException):
            found.broken += 1
            connection.close()
        at += 1
    connection.close()
