"""The golden requests of an archive, through the server."""

from __future__ import annotations

from collections.abc import Sequence

from marwright.mar.golden import TOLERANCE, GoldenRequest
from marwright.release.predictions import Caller

_CURE = "The workers on the server answer otherwise than those that verified the archive"


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
