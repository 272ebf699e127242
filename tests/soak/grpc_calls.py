"""Calls over gRPC, good and bad ones, many at a time, while witnesses ask over HTTP and share their batches."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from marwright.console.progress import say
from marwright.mar.reading import describe
from soak.finding import Finding
from soak.grpc_client import GrpcClient, GrpcReply
from soak.served import Served
from soak.witnesses import Question, questions_of, witnesses

PROMISE = (
    "Over gRPC a text gets the answer it gets over HTTP, in one piece or as a stream; a bad call is told so, kills no "
    "worker and changes nothing for others"
)
CLIENTS = 8
WITNESSES = 4
ALONE = 40
"""Bad calls with nobody beside them, each of which must fail with a status."""
# The server resets the stream of a message that is too large; what the client makes of it depends on when.
TOO_LARGE = ("CANCELLED", "RESOURCE_EXHAUSTED")

Fields = Mapping[str, bytes]


@dataclass(frozen=True)
class Call:
    """One call: what it sends, how, and what must come of it."""

    fields: Fields
    streamed: bool
    question: Question | None = None
    """Whose answer is right; none for a call that must be refused."""
    statuses: tuple[str, ...] = ("INVALID_ARGUMENT",)
    """Of which a refused one must get one."""


def grpc_calls(served: Served, *, calls: int, seed: int) -> Finding:
    """Send so many calls, eight at a time, a third of them bad; then bad ones one after the other.

    Args:
        served: the server.
        calls: how many.
        seed: of their order.
    """
    chosen = random.Random(seed)
    questions = questions_of([served.archive])
    largest, many = served.largest_body, _max_instances(served)
    kinds = [_good, _good, _good, _good, lambda *_: _bad(chosen, many), lambda *_: _too_large(largest, chosen)]
    wanted = [kinds[at % len(kinds)](chosen, chosen.choice(questions)) for at in range(calls)]
    before = set(served.workers())
    key = served.keys().get("inference")
    started = time.monotonic()
    with GrpcClient(served.grpc, served.model, key=key) as client:
        with witnesses(served, WITNESSES) as seen, ThreadPoolExecutor(CLIENTS) as pool:
            replies = list(pool.map(_sender(client), wanted))
        seconds = time.monotonic() - started
        say(f"  {calls:,} calls in {seconds:.0f} s, {seen.count('right'):,} right answers over HTTP beside them")
        lonely = [_bad(chosen, many) for _ in range(ALONE)]
        lonely_replies = [_sender(client)(call) for call in lonely]
    after = set(served.workers())
    broken = [f"workers died: {sorted(before)} before, {sorted(after)} after"] if before != after else []
    mistakes = [mistake_in(call, reply, alone=False) for call, reply in zip(wanted, replies, strict=True)]
    mistakes += [mistake_in(call, reply, alone=True) for call, reply in zip(lonely, lonely_replies, strict=True)]
    broken += [mistake for mistake in mistakes if mistake]
    broken += seen.complaints()
    statuses = Counter(reply.status for reply in [*replies, *lonely_replies])
    in_body = sum(call.question is None and reply.status == "OK" for call, reply in zip(wanted, replies, strict=True))
    figures = {
        "calls": calls + ALONE,
        "streams": sum(call.streamed for call in [*wanted, *lonely]),
        "seed": seed,
        "calls_per_s": round(calls / seconds),
        "statuses": dict(sorted(statuses.items())),
        "refused_in_body": in_body,
        "alone_refused_by_status": sum(reply.status == "INVALID_ARGUMENT" for reply in lonely_replies),
        "witnesses_right": seen.count("right"),
        "witnesses_wrong": seen.count("wrong"),
        "workers_died": len(before - after),
        "mistakes": sum(map(bool, mistakes)),
    }
    listed = ", ".join(f"{count:,} × {status}" for status, count in sorted(statuses.items()))
    summary = (
        f"{figures['calls']:,} calls, {figures['streams']:,} of them streams (seed {seed}): {listed}; {in_body:,} bad "
        f"ones shared a batch with answers and have the error as their body, of {ALONE} that were asked alone "
        f"{figures['alone_refused_by_status']} have its status; {figures['mistakes']} answered wrongly; meanwhile "
        f"{seen.count('right'):,} right answers over HTTP, {seen.count('wrong')} wrong; "
        f"{figures['workers_died']} workers died"
    )
    return Finding("grpc", PROMISE, summary, figures, tuple(broken))


def _sender(client: GrpcClient) -> Callable[[Call], GrpcReply]:
    return lambda call: client.stream(call.fields) if call.streamed else client.predict(call.fields)


def _good(chosen: random.Random, question: Question) -> Call:
    text = question.text
    asked = {"top_k": question.top_k, "min_confidence": 0}
    forms: list[Fields] = [
        {"data": json.dumps({"text": text} | asked).encode()},
        {"data": b"\xef\xbb\xbf" + json.dumps({"text": text, "parameters": asked}).encode()},
        {"data": text.encode()} | {name: str(value).encode() for name, value in asked.items()},
        {"body": json.dumps({"text": text} | asked).encode()},
    ]
    return Call(chosen.choice(forms), chosen.random() < 0.5, question)


def _bad(chosen: random.Random, max_instances: int) -> Call:
    bodies = [
        b'{"text": 5}',
        b'{"text": "tea"',
        b'{"text": "tea", "top_k": 0}',
        b"\xff",
        b"",
        json.dumps({"instances": ["tea"] * (max_instances + 1)}).encode(),
    ]
    fields: list[Fields] = [*({"data": body} for body in bodies), {"other": b"tea"}, {}]
    return Call(chosen.choice(fields), chosen.random() < 0.5)


def _too_large(largest: int, chosen: random.Random) -> Call:
    return Call({"data": b"a" * (largest + 1)}, chosen.random() < 0.5, statuses=TOO_LARGE)


def mistake_in(call: Call, reply: GrpcReply, *, alone: bool) -> str:
    """What is wrong with a reply; empty if nothing is."""
    shown = f"{dict(call.fields)!s:.120} got {reply.status} {reply.detail[:100]!r} {b' '.join(reply.bodies)[:100]!r}"
    if call.question is None:
        told = not alone and _answer_in(reply).get("code") == 400
        return "" if told or (reply.status in call.statuses and reply.detail and not reply.bodies) else shown
    answer = _answer_in(reply)
    (golden,) = call.question.answers.values()
    return shown if golden.mistake(answer) else ""


def _answer_in(reply: GrpcReply) -> dict[str, Any]:
    """The one JSON object that a call was answered with; empty if it was not."""
    with suppress(ValueError):
        (body,) = reply.bodies
        answer = json.loads(body)
        if reply.status == "OK" and isinstance(answer, dict):
            return answer
    return {}


def _max_instances(served: Served) -> int:
    return int(describe(served.archive)["setup"]["max_instances"])
