"""The golden requests of an archive, through the server."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marwright.mar import layout
from marwright.mar.abstention import probabilities_in
from marwright.mar.golden import TOLERANCE, difference
from marwright.mar.reading import member_of
from marwright.release.predictions import Answer, Caller

_CURE = "The workers on the server answer otherwise than those that verified the archive"


def golden_of(archive: Path) -> list[dict[str, Any]]:
    """The texts an archive carries with their recorded answers; none if it is not marwright's or has another task.

    Raises:
        ArchiveError: it cannot be read.
    """
    written = member_of(archive, layout.GOLDEN)
    if written is None:
        return []
    try:
        return [request for request in json.loads(written) if isinstance(request["text"], str)]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []  # verifying says what is wrong with it


def wrong_answers(caller: Caller, version: str, golden: Sequence[dict[str, Any]]) -> list[str]:
    """Send the golden requests to a version, and say what is wrong with its answers; empty if nothing is.

    Args:
        caller: for the server.
        version: in the path of the requests.
        golden: texts, with answers where these were recorded; others only have to be answered.
    """
    largest = 0.0
    for request in golden:
        recorded = request.get("answer")
        body = {"text": request["text"]} | ({"top_k": len(recorded)} if recorded else {})
        answer = caller.ask(version, body)
        if recorded and not answer.ok:
            return [f"the golden request {request['text'][:60]!r} was answered with {answer.status}. {_CURE}"]
        if recorded:
            largest = max(largest, _off(recorded, answer))
    if largest > TOLERANCE:
        return [
            f"the golden requests' probabilities are {largest:.2g} off the recorded ones, not {TOLERANCE:g}. {_CURE}"
        ]
    return []


def _off(recorded: Sequence[dict[str, Any]], answer: Answer) -> float:
    try:
        return difference(recorded, probabilities_in(answer.value))
    except (AttributeError, KeyError, TypeError):
        return math.inf
