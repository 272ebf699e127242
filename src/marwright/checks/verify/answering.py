"""Runs an archive in a real worker: its answers to the golden requests, bad ones among them, and its latency."""

from __future__ import annotations

import json
import random
import time

from marwright.checks.verify.report import Outcome, failed, passed, skipped
from marwright.checks.verify.subject import Subject
from marwright.errors import ArchiveError
from marwright.mar.golden import TOLERANCE
from marwright.mar.protocol import Body
from marwright.metrics.latency import Latencies

BATCH = 16
BAD = Body(b'{"text": 7}')
# Batches that are timed after ten that are not; a slow model is measured for no longer than this.
TIMED, LONGEST_S = 120, 10.0


def worker(subject: Subject) -> Outcome:
    """TorchServe's own worker loads it."""
    begun = time.monotonic()
    try:
        subject.start_worker()
    except ArchiveError as error:
        return failed(gist(error, subject), "More of the worker's log: `marwright predict ARCHIVE TEXT`.")
    return passed(f"TorchServe's own is ready in {time.monotonic() - begun:.1f} s")


def golden_requests(subject: Subject) -> Outcome:
    """They are answered as recorded: each alone, then all of them in batches of long and short texts."""
    ask, golden = subject.worker.answer, subject.recorded
    answers = [ask([request.body()])[0] for request in golden]
    mixed = random.Random(0).sample(golden, len(golden))
    for start in range(0, len(mixed), BATCH):
        answers += ask([request.body() for request in mixed[start : start + BATCH]])
    largest = 0.0
    for request, answer in zip([*golden, *mixed], answers, strict=True):
        if answer.status != 200:
            detail = f"{request.text[:60]!r} was answered with {answer.status}"
            return failed(detail, "The handler or what it loads has changed since the build: build it again.")
        largest = max(largest, request.off_in(answer.body))
    said = f"{len(golden)} alone and in batches of {BATCH}: probabilities within {largest:.1g} of the recorded ones"
    if largest > TOLERANCE:
        return failed(f"{said}, not {TOLERANCE:g}", "Another model than the one that was measured: build it again.")
    return passed(said)


def bad_request_alone(subject: Subject) -> Outcome:
    """One bad request, at every place of a batch, leaves its neighbours their answers."""
    ask, golden = subject.worker.answer, subject.recorded
    cure = "Answer each item of a batch with its own status: context.set_response_status(code, phrase, idx)."
    neighbours = [golden[at % len(golden)] for at in range(BATCH - 1)]
    for place in range(BATCH):
        bodies = [request.body() for request in neighbours]
        answers = ask([*bodies[:place], BAD, *bodies[place:]])
        bad = answers.pop(place)
        if not 400 <= bad.status < 500:
            return failed(f"{BAD.value.decode()} was answered with {bad.status}, not with a 4xx", cure)
        for request, answer in zip(neighbours, answers, strict=True):
            if answer.status != 200 or request.off_in(answer.body) > TOLERANCE:
                return failed(f"at place {place} it changed what its neighbours got", cure)
    return passed(f"at each place of a batch of {BATCH} it gets {bad.status}, its neighbours their answers")


def latency(subject: Subject) -> Outcome:
    """Time through the handler, without HTTP and without waiting for a batch to fill."""
    ask = subject.worker.answer
    bodies = [Body(json.dumps({"text": request.text}).encode()) for request in subject.golden]
    said = []
    for size in (1, BATCH):
        times = Latencies(warm_up=10)
        until = time.monotonic() + LONGEST_S
        for turn in range(TIMED + 10):
            batch = [bodies[(turn * size + at) % len(bodies)] for at in range(size)]
            with times.call():
                answers = ask(batch)
            if any(answer.status != 200 for answer in answers):
                return skipped("the recorded texts are no requests for its handler")
            if time.monotonic() > until:
                break
        p50, p99 = (times.percentile(percent) for percent in (50, 99))
        subject.latency_ms[size] = {"p50": round(p50, 2), "p99": round(p99, 2)}
        said.append(f"{size} request{'s' if size > 1 else ''} {p50:.1f} ms (p99 {p99:.1f})")
    return passed(", ".join(said) + ", through the handler on this machine")


def gist(error: ArchiveError, subject: Subject) -> str:
    """The first line, and the exception in the worker's log that follows."""
    first, *log = str(error).removeprefix(f"{subject.file}: ").splitlines()
    raised = [line.strip() for line in log if "Error" in line or "Exception" in line]
    return " ".join([first, *raised[-1:]])
