"""Hostile requests, many at a time, while witnesses ask beside them and share their batches."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from marwright.console.progress import say
from soak.finding import Finding
from soak.hostile_cases import MARK, Case, large, ordinary_sizes
from soak.served import Served
from soak.witnesses import Witnesses, witnesses

PROMISE = (
    "No request gets a 5xx (but for forms that TorchServe itself cannot decode), kills a worker, changes what "
    "others get or brings its text into a log"
)
AT_ONCE = 16
WITNESSES = 4
ORDINARY_PER_LARGE = 16
"""Rounds of ordinary cases for one that has a large one among them."""
_TIMEOUT_S = 60
_REPORT_EVERY = 2_500

# Netty's decoder of forms throws these before the model is asked, and TorchServe makes a 500 of whatever is thrown.
FORM_ERRORS = ("ErrorDataDecoderException", "StringIndexOutOfBoundsException")


class PromiseBroken(Exception):
    """A case was answered as none may be."""


@dataclass(frozen=True)
class Reply:
    """What came back; ``status`` 0 is a connection that was closed without an answer."""

    status: int
    body: bytes = b""
    request_id: str | None = None


@dataclass
class Tally:
    """What the cases so far were answered with."""

    statuses: Counter[int] = field(default_factory=Counter)
    form_errors: int = 0
    bytes_sent: int = 0

    @property
    def cases(self) -> int:
        """How many cases were sent."""
        return self.statuses.total()


def hostile(served: Served, *, cases: int, seed: int) -> Finding:
    """Send at least so many cases, sixteen at a time; the first that breaks the promise is made as small as can be.

    Args:
        served: the server; its development configuration lets more through to the handler than the one for production.
        cases: how many, at least.
        seed: of hypothesis.
    """
    before, tally, broken = set(served.workers()), Tally(), []
    rounds = -(-cases // AT_ONCE)
    started = time.monotonic()
    with witnesses(served, WITNESSES) as seen, ThreadPoolExecutor(AT_ONCE) as pool:
        clients = _Clients(served)
        try:
            _rounds(served, clients, pool, tally, seen, rounds, seed)
        except (PromiseBroken, Flaky) as error:
            broken.append(str(error))
    seconds = time.monotonic() - started
    if (after := set(served.workers())) != before:
        broken.append(f"workers died: {sorted(before)} before, {sorted(after)} after")
    broken += seen.complaints()
    if MARK in served.logged():
        broken.append(f"the text of a request stands in {served.server.logs}")
    statuses = {str(status or "closed"): count for status, count in sorted(tally.statuses.items())}
    figures = {
        "cases": tally.cases,
        "seed": seed,
        "megabytes_sent": round(tally.bytes_sent / 1e6),
        "cases_per_s": round(tally.cases / seconds),
        "statuses": statuses,
        "forms_not_decoded_500": tally.form_errors,
        "witnesses_right": seen.count("right"),
        "witnesses_wrong": seen.count("wrong"),
        "workers_died": len(before - after),
    }
    listed = ", ".join(f"{count:,} × {status}" for status, count in statuses.items())
    summary = (
        f"{tally.cases:,} cases ({figures['megabytes_sent']:,} MB, seed {seed}): {listed}; of the 500s "
        f"{tally.form_errors:,} are forms that TorchServe cannot decode; meanwhile {seen.count('right'):,} "
        f"right answers to good requests, {seen.count('wrong')} wrong; {len(before - after)} workers died"
    )
    return Finding("hostile", PROMISE, summary, figures, tuple(broken))


def _rounds(
    served: Served, clients: _Clients, pool: ThreadPoolExecutor, tally: Tally, seen: Witnesses, rounds: int, seed: int
) -> None:
    ordinary = st.lists(ordinary_sizes(served.path), min_size=AT_ONCE, max_size=AT_ONCE)
    with_a_large_one = st.tuples(large(served.path), ordinary).map(lambda drawn: [drawn[0], *drawn[1][1:]])

    def send(cases: list[Case]) -> None:
        replies = list(pool.map(clients.send, cases))
        for case, reply in zip(cases, replies, strict=True):
            tally.statuses[reply.status] += 1
            tally.bytes_sent += len(case.unit) * case.times
            tally.form_errors += is_form_error(case, reply)
        if tally.cases % _REPORT_EVERY < AT_ONCE:
            say(f"  {tally.cases:,} cases, {seen.count('right'):,} right answers beside them")
        for case, reply in zip(cases, replies, strict=True):
            if mistake := mistake_in(case, reply, served.largest_body):
                raise PromiseBroken(f"{mistake}: {shown(case)}")

    # Not one strategy that chooses: hypothesis would take the large ones half of the time.
    large_rounds = -(-rounds // (ORDINARY_PER_LARGE + 1))
    for strategy, examples in ((with_a_large_one, large_rounds), (ordinary, rounds - large_rounds)):
        _examples(strategy, examples, seed)(send)


def _examples(strategy: st.SearchStrategy[list[Case]], examples: int, seed: int) -> Any:
    def run(send: Any) -> None:
        wanted = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        seeded(seed)(wanted(given(strategy)(send)))()

    return run


class _Clients:
    """A connection for each thread, made anew when the server has closed it, as it does after each error.

    Not urllib3's: that would mend what is sent on purpose, such as ``%zz`` in a query.
    """

    def __init__(self, served: Served) -> None:
        self._port, self._headers, self._own = served.port, served.headers(), threading.local()

    def send(self, case: Case) -> Reply:
        """Send a case; once more if a connection that was kept had been closed meanwhile."""
        kept = getattr(self._own, "connection", None) is not None
        reply = self._sent(case)
        return self._sent(case) if kept and not reply.status else reply

    def _sent(self, case: Case) -> Reply:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        self._own.connection = None
        headers = dict(self._headers)
        if case.content_type is not None:
            headers["Content-Type"] = case.content_type
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the answer may be there although not all was read
                connection.request(case.method, case.path, case.body, headers)
            response = connection.getresponse()
            body = response.read()
        except TimeoutError:
            connection.close()
            return Reply(599, b"no answer in time")
        except (OSError, http.client.HTTPException):
            connection.close()
            return Reply(0)
        if response.will_close or response.status == 413:
            connection.close()
        else:
            self._own.connection = connection
        return Reply(response.status, body, response.getheader("X-Client-Request-Id"))


def is_form_error(case: Case, reply: Reply) -> bool:
    """Whether this is TorchServe's 500 for a form that it cannot decode."""
    return case.is_form and reply.status == 500 and _field(reply.body, "type") in FORM_ERRORS


def mistake_in(case: Case, reply: Reply, largest_body: int) -> str:
    """What is wrong with a reply; empty if nothing is."""
    if reply.status == 0:
        return "" if len(case.body) > largest_body else "the connection was closed without an answer"
    if reply.status >= 500 and not is_form_error(case, reply):
        return f"answered with {reply.status} {reply.body[:200]!r}"
    if reply.request_id is not None and not _sent(case, reply.request_id):
        return f"the answer has the request id {reply.request_id!r} of another"
    if reply.status == 200 and case.method not in ("OPTIONS", "HEAD") and not _is_prediction(reply.body):
        return f"answered with 200 and {reply.body[:100]!r}"
    return ""


def shown(case: Case) -> str:
    """A case as one line."""
    unit = case.unit if len(case.unit) <= 300 else case.unit[:300] + b"..."
    return f"{case.method} {case.path} with Content-Type {case.content_type!r} and {unit!r} × {case.times}"


def _is_prediction(body: bytes) -> bool:
    """Whether this is one answer or a list of them."""
    try:
        answer = json.loads(body)
        answers = answer["predictions"] if isinstance(answer.get("predictions"), list) else [answer]
        return bool(answers) and all(map(_is_answer, answers))
    except (ValueError, TypeError, AttributeError):
        return False


def _is_answer(answer: dict[str, Any]) -> bool:
    """Whether this is label: probability, or that without a label that is sure enough."""
    unsure = answer.keys() == {"label", "predictions"} and answer["label"] is None
    probabilities = (answer["predictions"] if unsure else answer).values()
    return bool(probabilities) and all(0 <= value <= 1 for value in probabilities)


def _sent(case: Case, request_id: str) -> bool:
    """Whether a case has this request id, as JSON says it or a form."""
    try:
        return str(json.loads(case.body)["request_id"]) == request_id
    except (ValueError, TypeError, KeyError, RecursionError):
        return request_id.encode() in unquote_to_bytes(case.body)


def _field(body: bytes, name: str) -> Any:
    try:
        return json.loads(body)[name]
    except (ValueError, TypeError, KeyError):
        return None
