"""Asks the server for predictions: one request, texts at an even rate to several paths in turn, or golden requests."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import quote

from marwright.mar.golden import TOLERANCE, GoldenRequest
from marwright.server.client import TorchServe

# At a time; the rates of a rollout are a share of what the server bears, so a few are plenty.
_THREADS = 16
_CURE = "The workers on the server answer otherwise than those that verified the archive"


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


class Caller:
    """Asks a server for predictions of one model; any thread may."""

    def __init__(self, server: TorchServe, model: str) -> None:
        self.server, self.model = server, model
        self._asked: Counter[str | None] = Counter()
        self._lock = Lock()

    def asked(self, version: str) -> int:
        """How many requests were sent so far with this version in their path."""
        return self._asked[version]

    def path(self, version: str | None) -> str:
        """Where a version answers, or with ``None`` the default one."""
        return f"/predictions/{quote(self.model, safe='')}" + (f"/{version}" if version else "")

    def ask(self, version: str | None, body: Mapping[str, Any]) -> Answer:
        """Send one request to a version, or with ``None`` to the default one.

        Raises:
            ServerError: there is no key where one is asked for.
        """
        with self._lock:
            self._asked[version] += 1
        started = time.perf_counter()
        status, text = self.server.predict(self.path(version), body)
        return Answer(status, 1000 * (time.perf_counter() - started), _parsed(text))

    def in_turn(
        self, versions: Sequence[str | None], texts: Sequence[str], *, rate: float, seconds: float
    ) -> list[tuple[Answer, ...]]:
        """Send each text to every version, one right after the other, in an order that changes by chance.

        The texts are sent again and again for so many seconds, ``rate`` of them per second, at even intervals however
        slow the answers are. The version ``None`` is the default one.

        Returns:
            for each text that was sent, the answers in the order of ``versions``.
        """
        shuffled = random.Random(0)

        def send(text: str, order: Sequence[int]) -> tuple[Answer, ...]:
            got = {at: self.ask(versions[at], {"text": text}) for at in order}
            return tuple(got[at] for at in range(len(versions)))

        with ThreadPoolExecutor(_THREADS) as pool:
            started, sent = time.monotonic(), list[Future[tuple[Answer, ...]]]()
            try:
                for number, text in zip(range(max(1, round(rate * seconds))), itertools.cycle(texts), strict=False):
                    time.sleep(max(started + number / rate - time.monotonic(), 0))
                    sent.append(pool.submit(send, text, shuffled.sample(range(len(versions)), len(versions))))
                return [future.result() for future in sent]
            finally:
                pool.shutdown(cancel_futures=True)


def wrong_answers(caller: Caller, version: str, golden: Sequence[GoldenRequest]) -> list[str]:
    """Send the golden requests to a version, and say what is wrong with its answers; empty if nothing is.

    Those without a recorded answer only have to be answered.
    """
    largest = 0.0
    for request in golden:
        answer = caller.ask(version, request.request())
        if request.answer and not answer.ok:
            return [f"the golden request {request.text[:60]!r} was answered with {answer.status}. {_CURE}"]
        if request.answer:
            largest = max(largest, request.off(answer.value))
    if largest > TOLERANCE:
        return [
            f"the golden requests' probabilities are {largest:.2g} off the recorded ones, not {TOLERANCE:g}. {_CURE}"
        ]
    return []


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
