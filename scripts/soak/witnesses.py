"""Clients who know the right answers: they ask without a pause and note every answer, good, wrong or none.

Each request has a number of its own as its ``request_id``, which the answer must bring back, and the answers of the
chosen questions differ from each other by far more than rounding: somebody else's answer would be noticed.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from marwright.archive import layout
from marwright.archive.golden import TOLERANCE, difference
from soak.served import Served

Verdict = Literal["right", "wrong", "refused", "unanswered"]
_TIMEOUT_S = 60
_PAUSE_AFTER_FAILURE_S = 0.02
_APART = 4 * TOLERANCE


@dataclass(frozen=True)
class Question:
    """A text and what the build recorded as its answer."""

    text: str
    answer: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What became of one request. Times are of ``time.monotonic``, in seconds; ``status`` 0 is no answer at all."""

    sent: float
    ended: float
    verdict: Verdict
    status: int
    detail: str = ""


def questions_of(archive: Path) -> list[Question]:
    """The golden requests of an archive whose answers cannot be taken for each other's."""
    with zipfile.ZipFile(archive) as opened:
        golden = json.loads(opened.read(layout.GOLDEN))
    chosen: list[Question] = []
    for request in golden:
        as_answer = {one["label"]: one["probability"] for one in request["answer"]}
        if all(difference(other.answer, as_answer) > _APART for other in chosen):
            chosen.append(Question(request["text"], request["answer"]))
    return chosen


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


@contextmanager
def witnesses(served: Served, clients: int) -> Iterator[Witnesses]:
    """Let clients ask for the length of a ``with`` block; they finish what they have begun."""
    seen, over, numbers = Witnesses(), threading.Event(), itertools.count()
    questions = questions_of(served.archive)
    threads = [
        threading.Thread(target=_ask_on, args=(served, questions, numbers, seen, over), daemon=True)
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(_TIMEOUT_S)


def _ask_on(
    served: Served, questions: Sequence[Question], numbers: Iterator[int], seen: Witnesses, over: threading.Event
) -> None:
    headers = {"Content-Type": "application/json"} | served.headers()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=_TIMEOUT_S)
    while not over.is_set():
        number = next(numbers)
        outcome = _asked(connection, served.path, headers, questions[number % len(questions)], f"witness-{number}")
        seen.outcomes.append(outcome)
        if outcome.status != 200:
            connection.close()
            over.wait(_PAUSE_AFTER_FAILURE_S)
    connection.close()


def _asked(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str], question: Question, request_id: str
) -> Outcome:
    wanted = {"top_k": len(question.answer), "min_confidence": 0, "request_id": request_id}
    body = json.dumps({"text": question.text, **wanted})
    sent = time.monotonic()
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        return Outcome(sent, time.monotonic(), "unanswered", 0, f"{type(error).__name__}: {error}")
    ended, status = time.monotonic(), response.status
    if status != 200:
        return Outcome(sent, ended, "refused", status, answer.decode(errors="replace")[:200])
    mistake = mistake_in(answer, response.getheader("X-Client-Request-Id"), question, request_id)
    return Outcome(sent, ended, "wrong" if mistake else "right", status, mistake)


def mistake_in(answer: bytes, echoed: str | None, question: Question, request_id: str) -> str:
    """What is wrong with a good answer; empty if nothing is."""
    if echoed != request_id:
        return f"the answer to {request_id} came with the id {echoed}"
    try:
        off = difference(question.answer, json.loads(answer))
    except (ValueError, TypeError, AttributeError):
        return f"{question.text[:60]!r} was answered with {answer[:100]!r}"
    return f"{question.text[:60]!r} has a probability that is {off:.3f} off" if off > TOLERANCE else ""
