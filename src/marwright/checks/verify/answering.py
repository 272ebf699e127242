"""Runs an archive in a real worker: its answers to the golden requests, bad ones among them, and its latency."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from marwright.checks.verify.report import Check, Report, failed, passed, skipped
from marwright.errors import ArchiveError
from marwright.mar import layout
from marwright.mar.abstention import probabilities_in
from marwright.mar.golden import TOLERANCE, difference
from marwright.mar.protocol import Answer, Body
from marwright.mar.reading import description_in
from marwright.mar.worker import ArchiveWorker, started
from marwright.metrics.latency import Latencies

WORKER, GOLDEN, NEIGHBOURS, LATENCY = "worker", "golden requests", "bad request alone", "latency"
BATCH = 16
BAD = Body(b'{"text": 7}')
# Batches that are timed after ten that are not; a slow model is measured for no longer than this.
TIMED, LONGEST_S = 120, 10.0
Golden = list[dict[str, Any]]


def check_answers(file: Path, folder: Path, report: Report) -> None:
    """Start a worker as TorchServe does, and add what it answers, and how fast, to a report.

    Args:
        file: the archive, for messages.
        folder: where it is unpacked.
        report: gets four checks and the latencies.
    """
    golden = _golden(folder)
    with ExitStack() as stack:
        begun = time.monotonic()
        try:
            worker = stack.enter_context(started(file, folder))
        except ArchiveError as error:
            cure = "More of the worker's log: `marwright predict ARCHIVE TEXT`."
            report.checks.append(failed(WORKER, _gist(error, file), cure))
            report.checks += [skipped(name, "no worker") for name in (GOLDEN, NEIGHBOURS, LATENCY)]
            return
        report.checks.append(passed(WORKER, f"TorchServe's own is ready in {time.monotonic() - begun:.1f} s"))
        before = len(report.checks)
        try:
            _ask(worker, golden, report)
        except ArchiveError as error:
            name, *rest = (GOLDEN, NEIGHBOURS, LATENCY)[len(report.checks) - before :]
            report.checks.append(failed(name, _gist(error, file), "A worker must survive its requests."))
            report.checks += [skipped(other, "no worker") for other in rest]


def _golden(folder: Path) -> Golden | str:
    """The golden requests, or why there are none."""
    file = folder / layout.GOLDEN
    if not file.is_file():
        return f"it has no {layout.GOLDEN}; archives of marwright carry them"
    try:
        golden = list(description_in(folder, layout.GOLDEN))
    except (ValueError, TypeError, RecursionError):
        golden = []
    if golden and all(_is_golden(request) for request in golden):
        return golden
    return f"its {layout.GOLDEN} has not what marwright writes there"


def _is_golden(request: Any) -> bool:
    """Whether it is a text, with labels and probabilities where they were recorded."""
    if not isinstance(request, dict) or not isinstance(request.get("text"), str):
        return False
    answer = request.get("answer", [])
    return isinstance(answer, list) and all(
        isinstance(one, dict) and {"label", "probability"} <= one.keys() for one in answer
    )


def _ask(worker: ArchiveWorker, golden: Golden | str, report: Report) -> None:
    if isinstance(golden, str):
        report.checks += [skipped(name, golden) for name in (GOLDEN, NEIGHBOURS, LATENCY)]
        return
    if all(request.get("answer") for request in golden):
        report.checks.append(_right_answers(worker, golden))
        report.checks.append(_bad_one_alone(worker, golden))
    else:
        own = "it has a handler of its own, whose answers were not recorded"
        report.checks += [skipped(name, own) for name in (GOLDEN, NEIGHBOURS)]
    report.checks.append(_latency(worker, golden, report))


def _right_answers(worker: ArchiveWorker, golden: Golden) -> Check:
    """Each alone, then all of them in batches of long and short texts."""
    answers = [worker.answer([_body(request)])[0] for request in golden]
    mixed = random.Random(0).sample(golden, len(golden))
    for start in range(0, len(mixed), BATCH):
        answers += worker.answer([_body(request) for request in mixed[start : start + BATCH]])
    largest = 0.0
    for request, answer in zip([*golden, *mixed], answers, strict=True):
        if answer.status != 200:
            detail = f"{request['text'][:60]!r} was answered with {answer.status}"
            return failed(GOLDEN, detail, "The handler or what it loads has changed since the build: build it again.")
        largest = max(largest, _off(request, answer))
    said = f"{len(golden)} alone and in batches of {BATCH}: probabilities within {largest:.1g} of the recorded ones"
    if largest > TOLERANCE:
        return failed(
            GOLDEN, f"{said}, not {TOLERANCE:g}", "Another model than the one that was measured: build it again."
        )
    return passed(GOLDEN, said)


def _bad_one_alone(worker: ArchiveWorker, golden: Golden) -> Check:
    """One bad request at every place of a batch; its neighbours must be answered as ever."""
    cure = "Answer each item of a batch with its own status: context.set_response_status(code, phrase, idx)."
    neighbours = [golden[at % len(golden)] for at in range(BATCH - 1)]
    for place in range(BATCH):
        bodies = [_body(request) for request in neighbours]
        answers = worker.answer([*bodies[:place], BAD, *bodies[place:]])
        bad = answers.pop(place)
        if not 400 <= bad.status < 500:
            return failed(NEIGHBOURS, f"{BAD.value.decode()} was answered with {bad.status}, not with a 4xx", cure)
        if not _all_right(neighbours, answers):
            return failed(NEIGHBOURS, f"at place {place} it changed what its neighbours got", cure)
    return passed(NEIGHBOURS, f"at each place of a batch of {BATCH} it gets {bad.status}, its neighbours their answers")


def _all_right(golden: Golden, answers: Sequence[Answer]) -> bool:
    return len(golden) == len(answers) and all(
        answer.status == 200 and _off(request, answer) <= TOLERANCE
        for request, answer in zip(golden, answers, strict=True)
    )


def _off(request: dict[str, Any], answer: Answer) -> float:
    """How far an answer is from the recorded one; infinitely if it is none of that kind."""
    try:
        return difference(request["answer"], probabilities_in(json.loads(answer.body)))
    except (ValueError, KeyError, TypeError):
        return math.inf


def _latency(worker: ArchiveWorker, golden: Golden, report: Report) -> Check:
    """Time through the handler, without HTTP and without waiting for a batch to fill."""
    said = []
    for size in (1, BATCH):
        times = Latencies(warm_up=10)
        until = time.monotonic() + LONGEST_S
        for turn in range(TIMED + 10):
            bodies = [_plain(golden[(turn * size + at) % len(golden)]) for at in range(size)]
            with times.call():
                answers = worker.answer(bodies)
            if any(answer.status != 200 for answer in answers):
                return skipped(LATENCY, "the recorded texts are no requests for its handler")
            if time.monotonic() > until:
                break
        p50, p99 = (times.percentile(percent) for percent in (50, 99))
        report.latency_ms[size] = {"p50": round(p50, 2), "p99": round(p99, 2)}
        said.append(f"{size} request{'s' if size > 1 else ''} {p50:.1f} ms (p99 {p99:.1f})")
    return passed(LATENCY, ", ".join(said) + ", through the handler on this machine")


def _body(request: dict[str, Any]) -> Body:
    return Body(json.dumps({"text": request["text"], "top_k": len(request["answer"])}).encode())


def _plain(request: dict[str, Any]) -> Body:
    return Body(json.dumps({"text": request["text"]}).encode())


def _gist(error: ArchiveError, file: Path) -> str:
    """The first line, and the exception in the worker's log that follows."""
    first, *log = str(error).removeprefix(f"{file}: ").splitlines()
    raised = [line.strip() for line in log if "Error" in line or "Exception" in line]
    return " ".join([first, *raised[-1:]])
