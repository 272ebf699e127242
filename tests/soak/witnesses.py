"""Clients who know the right answers: they ask without a pause or at a rate, and note what becomes of every request.

Each request has a number of its own as its ``request_id``, which the answer must bring back, and the answers of the
chosen questions differ from each other by far more than rounding: somebody else's answer would be noticed. So would be
an answer that no single version of the model has given.
"""

from __future__ import annotations

import itertools
import json
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from marwright.mar.golden import TOLERANCE, GoldenRequest, golden_of
from marwright.mar.reading import describe
from marwright.server.client import http_client
from soak.served import Served

Verdict = Literal["right", "wrong", "refused", "unanswered"]
_TIMEOUT_S = 60
_PAUSE_AFTER_FAILURE_S = 0.02
_APART = 4 * TOLERANCE


@dataclass(frozen=True)
class Question:
    """A text, and for each version of the model what the build recorded as its answer."""

    text: str
    answers: Mapping[str, GoldenRequest]

    @property
    def top_k(self) -> int:
        """How many labels are recorded."""
        return max(len(golden.answer) for golden in self.answers.values())


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Times are of ``time.monotonic``, in seconds; ``sent`` is when the request was due, if the witnesses keep to a rate.
    ``status`` 0 is no answer at all. ``version`` is the one that gave a right answer, ``client`` who had asked.
    """

    sent: float
    ended: float
    verdict: Verdict
    status: int
    detail: str = ""
    version: str = ""
    client: int = 0


def questions_of(versions: Sequence[Path]) -> list[Question]:
    """The golden requests whose answers cannot be taken for each other's, nor one version's for another's.

    Args:
        versions: archives of one model with the same golden texts.
    """
    recorded = {_version(archive): _answers(archive) for archive in versions}
    chosen: list[Question] = []
    for text in next(iter(recorded.values())):
        question = Question(text, {version: golden[text] for version, golden in recorded.items()})
        mine = question.answers.values()
        others = [answer for other in chosen for answer in other.answers.values()]
        pairs = [*itertools.product(others, mine), *itertools.permutations(mine, 2)]
        if all(one.off(_as_answer(other)) > _APART for one, other in pairs):
            chosen.append(question)
    return chosen


def _as_answer(golden: GoldenRequest) -> dict[str, float]:
    """A recorded answer as the server gives it."""
    return {one["label"]: one["probability"] for one in golden.answer}


def _version(archive: Path) -> str:
    return str(describe(archive)["manifest"]["model"]["modelVersion"])


def _answers(archive: Path) -> dict[str, GoldenRequest]:
    return {request.text: request for request in golden_of(archive)}


class Witnesses:
    """What the clients have seen so far."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def count(self, verdict: Verdict) -> int:
        """How many requests ended like this."""
        return sum(each.verdict == verdict for each in self.outcomes)

    def wrong(self) -> list[str]:
        """What was wrong with each wrong answer."""
        return [each.detail for each in self.outcomes if each.verdict == "wrong"]

    def lost(self) -> list[Outcome]:
        """The requests without a good answer."""
        return [each for each in self.outcomes if each.verdict in ("refused", "unanswered")]

    def complaints(self) -> list[str]:
        """A sentence for each request that got a wrong answer or none."""
        wrong = [f"wrong answer to a witness: {mistake}" for mistake in self.wrong()]
        return wrong + [f"a witness got {each.status or 'no answer'}: {each.detail}" for each in self.lost()]

    def versions(self, client: int) -> list[str]:
        """The versions that gave a client right answers, in the order of its requests."""
        return [each.version for each in self.outcomes if each.client == client and each.verdict == "right"]


@contextmanager
def witnesses(
    served: Served, clients: int, *, versions: Sequence[Path] = (), rate: float | None = None
) -> Iterator[Witnesses]:
    """Let clients ask for the length of a ``with`` block; they finish what they have begun.

    Args:
        served: the server.
        clients: how many.
        versions: archives of all versions that may answer; the served one's if none are given.
        rate: requests per second, at even intervals; without it each asks as soon as it has an answer.
    """
    seen, over = Witnesses(), threading.Event()
    turns = _Turns(questions_of(versions or [served.archive]), rate)
    threads = [
        threading.Thread(target=_ask_on, args=(served, client, turns, seen, over), daemon=True)
        for client in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(_TIMEOUT_S)


class _Turns:
    """Hands out numbers, and the question and the moment of each."""

    def __init__(self, questions: Sequence[Question], rate: float | None) -> None:
        self._questions = questions
        self._interval = None if rate is None else 1 / rate
        self._numbers = itertools.count()
        self._started = time.monotonic()

    def next(self) -> tuple[str, Question, float]:
        """Return the id of the next request, what to ask and when it is due."""
        number = next(self._numbers)
        due = time.monotonic() if self._interval is None else self._started + number * self._interval
        return f"witness-{number}", self._questions[number % len(self._questions)], due


def _ask_on(served: Served, client: int, turns: _Turns, seen: Witnesses, over: threading.Event) -> None:
    headers = {"Content-Type": "application/json"} | served.headers()
    http = http_client(_TIMEOUT_S)
    while not over.is_set():
        request_id, question, due = turns.next()
        if (early := due - time.monotonic()) > 0 and over.wait(early):
            break
        outcome = replace(_asked(http, served.url, headers, question, request_id), sent=due, client=client)
        seen.outcomes.append(outcome)
        if outcome.status != 200:
            http.clear()
            over.wait(_PAUSE_AFTER_FAILURE_S)
    http.clear()


def _asked(http: PoolManager, url: str, headers: dict[str, str], question: Question, request_id: str) -> Outcome:
    wanted = {"top_k": question.top_k, "min_confidence": 0, "request_id": request_id}
    body = json.dumps({"text": question.text, **wanted})
    sent = time.monotonic()
    try:
        response = http.request("POST", url, body=body, headers=headers)
    except HTTPError as error:
        return Outcome(sent, time.monotonic(), "unanswered", 0, f"{type(error).__name__}: {error}")
    ended, status = time.monotonic(), response.status
    if status != 200:
        return Outcome(sent, ended, "refused", status, response.data.decode(errors="replace")[:200])
    version, mistake = judged(response.data, response.headers.get("X-Client-Request-Id"), question, request_id)
    return Outcome(sent, ended, "wrong" if mistake else "right", status, mistake, version)


def judged(answer: bytes, echoed: str | None, question: Question, request_id: str) -> tuple[str, str]:
    """The version whose answer this is, and what is wrong with it; of the two one is empty."""
    if echoed != request_id:
        return "", f"the answer to {request_id} came with the id {echoed}"
    off = {version: golden.off_in(answer) for version, golden in question.answers.items()}
    nearest = min(off, key=lambda version: off[version])
    if math.isinf(off[nearest]):
        return "", f"{question.text[:60]!r} was answered with {answer[:100]!r}"
    if off[nearest] > TOLERANCE:
        return "", f"{question.text[:60]!r} has a probability that is {off[nearest]:.3f} off"
    return nearest, ""
