"""Asks a server one text at a time, and compares its best labels with those of the checkpoint in float32."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from urllib3.exceptions import HTTPError

from compare.serving import Server
from marwright.bench.target import bodies
from marwright.errors import MarwrightError, ServerError
from marwright.server.client import http_client
from marwright.workspace import ModelFolder

START_LIMIT_S = 120
LOOKED_AT, CHECKED = 500, 50
MARGIN = 1.0
"""By how much the best logit must lead; of two labels that are equally good int8 may choose either."""
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Reference:
    """Texts and the labels that the checkpoint gives them in float32."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]


def reference_of(model: ModelFolder, labels: Sequence[str], texts: Sequence[str]) -> Reference:
    """Choose the first texts that have one best label; ``labels`` are in the order of the logits.

    Raises:
        MarwrightError: there are too few.
    """
    from tokenizers import Tokenizer

    from marwright.encoder.families import HuggingFaceClassifier
    from marwright.encoder.logits import logits_of
    from marwright.pretrained.tokenization import pad_id, token_ids

    tokenizer = Tokenizer.from_file(str(model.tokenizer))
    candidates = list(texts[:LOOKED_AT])
    rows = token_ids(tokenizer, candidates)
    logits = logits_of(HuggingFaceClassifier(model.checkpoint).eval(), rows, pad_id(tokenizer), "reference answers")
    two = np.sort(logits, axis=1)[:, -2:]
    clear = [index for index in range(len(candidates)) if two[index, 1] - two[index, 0] >= MARGIN][:CHECKED]
    if len(clear) < CHECKED:
        raise MarwrightError(
            f"Only {len(clear)} of the first {LOOKED_AT} texts have one clear label, and {CHECKED} are needed: "
            "give texts that the model was made for."
        )
    best = logits.argmax(axis=1)
    return Reference(tuple(candidates[at] for at in clear), tuple(labels[best[at]] for at in clear))


def wait_for_answer(server: Server, body: bytes) -> None:
    """Ask until the server answers.

    Raises:
        ServerError: it has ended, or has not answered in time.
    """
    said = ""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if not server.is_alive():
            raise ServerError(f"it ended while it started: {_last_line(server)}")
        with suppress(HTTPError):
            status, answer = post(server.url, body)
            if status == 200:
                return
            said = f"status {status}, {answer[:100].decode(errors='replace')}"
        time.sleep(_PAUSE_S)
    raise ServerError(f"no answer within {START_LIMIT_S} s: {said or _last_line(server)}")


def check(server: Server, reference: Reference, template: str | None, best: Callable[[bytes], str]) -> None:
    """See that the server gives every text the label it should have.

    Raises:
        ServerError: it does not.
    """
    wrong = []
    for text, label, body in zip(
        reference.texts, reference.labels, bodies(reference.texts, template=template), strict=True
    ):
        status, answer = post(server.url, body)
        found = best(answer) if status == 200 else f"status {status}"
        if found != label:
            wrong.append(f"{text[:50]!r} is {found!r} and not {label!r}")
    if wrong:
        raise ServerError(f"{len(wrong)} of {len(reference.texts)} texts are answered otherwise: {wrong[0]}")


def post(url: str, body: bytes) -> tuple[int, bytes]:
    """Send one request over a connection of its own; return status and body."""
    with http_client(timeout_s=60) as client:
        answer = client.request("POST", url, body=body, headers={"Content-Type": "application/json"})
        return answer.status, answer.data


def _last_line(server: Server) -> str:
    try:
        lines = [line for line in server.log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1].strip() if lines else "it said nothing"
