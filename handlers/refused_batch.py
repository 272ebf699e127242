"""How a client of gRPC learns that its request was refused.

TorchServe 0.12 drops the status of a single answer over gRPC: the client sees OK, with the error as its body. Only a
whole batch can be refused. So one is, if nobody else's answer is in it; a request that is asked alone always is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from ts.utils.util import PredictionException


class Refusal(Protocol):
    """Why a request has no answer; its message is what the client is told."""

    code: int


class RefusedBatch(PredictionException):
    """Gives a batch a status of its own: 400 becomes INVALID_ARGUMENT, 503 UNAVAILABLE, 413 RESOURCE_EXHAUSTED."""


def refused_batch(refusals: Sequence[Refusal]) -> RefusedBatch:
    """The error that refuses a batch, to be raised, from those of all its requests."""
    messages = list(dict.fromkeys(str(refusal) for refusal in refusals))
    # TorchServe has one message for all; each client must find its own in it.
    shared = "" if len(messages) == 1 else "One of the requests that were read together: "
    return RefusedBatch(shared + "; ".join(messages), max(refusal.code for refusal in refusals))


def keep_out_of_log() -> None:
    """TorchServe logs an error with its stack when a batch is refused; a client's mistake is no event of the server."""
    logger = logging.getLogger("ts.service")
    if _is_worth_a_line not in logger.filters:
        logger.addFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], RefusedBatch))
