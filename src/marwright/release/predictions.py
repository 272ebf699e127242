"""Asks the server for predictions: one request, or texts at an even rate to one path or several in turn."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any
from urllib.parse import quote, urlsplit

from marwright.mar.abstention import probabilities_in
from marwright.server.client import key_header

# At a time; the rates of a rollout are a share of what the server bears, so a few are plenty.
_THREADS = 16


@dataclass(frozen=True)
class Answer:
    """An answer: its HTTP status, 0 if none came; its time in milliseconds; and its JSON, ``None`` without any."""

    status: int
    ms: float
    value: Any

    @property
    def ok(self) -> bool:
        """Whether it is a good one."""
        return 200 <= self.status < 300

    @property
    def label(self) -> str | None:
        """The best label of a text classifier's answer, be it sure enough of it or not."""
        if not self.ok:
            return None
        try:
            return next(iter(probabilities_in(self.value)), None)
        except (KeyError, TypeError):
            return None


class Caller:
    """Sends requests for one model to a server's ``/predictions``, on connections that it keeps."""

    def __init__(self, inference: str, model: str, key_file: Path | None, timeout_s: float = 30) -> None:
        self.model = model
        self._inference, self._key_file, self._timeout_s = inference, key_file, timeout_s
        self._asked: Counter[str] = Counter()
        self._lock = Lock()

    def asked(self, version: str | None) -> int:
        """How many requests were sent so far with this version in their path."""
        return self._asked[self.path(version)]

    def path(self, version: str | None) -> str:
        """Where a version answers, or with ``None`` the default one."""
        return f"/predictions/{quote(self.model, safe='')}" + (f"/{version}" if version else "")

    @contextmanager
    def connections(self) -> Iterator[Callable[[str, Mapping[str, Any]], Answer]]:
        """Yield a function that any thread may call with a path and a JSON body."""
        parts = urlsplit(self._inference)
        idle: SimpleQueue[http.client.HTTPConnection] = SimpleQueue()
        made: list[http.client.HTTPConnection] = []

        def ask(path: str, body: Mapping[str, Any]) -> Answer:
            try:
                connection = idle.get_nowait()
            except Empty:
                connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self._timeout_s)
                made.append(connection)
            headers = {"Content-Type": "application/json", **key_header(self._key_file, "inference")}
            with self._lock:
                self._asked[path] += 1
            started = time.perf_counter()
            try:
                connection.request("POST", path, json.dumps(body).encode(), headers)
                response = connection.getresponse()
                status, text = response.status, response.read()
            except (OSError, http.client.HTTPException):
                connection.close()  # the next request opens it again
                status, text = 0, b""
            answer = Answer(status, 1000 * (time.perf_counter() - started), _parsed(text))
            idle.put(connection)
            return answer

        try:
            yield ask
        finally:
            for connection in made:
                connection.close()

    def in_turn(
        self, versions: Sequence[str | None], texts: Sequence[str], *, rate: float, seconds: float
    ) -> list[tuple[Answer, ...]]:
        """Send each text to every version, one right after the other, in an order that changes by chance.

        Args:
            versions: the paths; ``None`` is the default one.
            texts: what to send, again and again.
            rate: texts per second, at even intervals however slow the answers are.
            seconds: how long.

        Returns:
            for each text that was sent, the answers in the order of ``versions``.
        """
        shuffled = random.Random(0)
        paths = [self.path(version) for version in versions]
        with self.connections() as ask, ThreadPoolExecutor(_THREADS) as pool:

            def send(text: str, order: Sequence[int]) -> tuple[Answer, ...]:
                got = {at: ask(paths[at], {"text": text}) for at in order}
                return tuple(got[at] for at in range(len(paths)))

            started, sent = time.monotonic(), list[Future[tuple[Answer, ...]]]()
            try:
                for number, text in zip(range(max(1, round(rate * seconds))), itertools.cycle(texts), strict=False):
                    time.sleep(max(started + number / rate - time.monotonic(), 0))
                    sent.append(pool.submit(send, text, shuffled.sample(range(len(paths)), len(paths))))
                return [future.result() for future in sent]
            finally:
                pool.shutdown(cancel_futures=True)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
