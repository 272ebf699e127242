"""Has an archive's own handler answer the golden requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from marwright.errors import ArchiveError
from marwright.mar.golden import GoldenRequest
from marwright.mar.worker import running


def prove(file: Path, golden: Sequence[GoldenRequest], fields: Sequence[str] = ()) -> None:
    """Start a worker, and send the golden requests, which all have as many labels, one by one and as one batch.

    Of ``fields`` that a request may send in place of one text, all of the text is then sent in the first one as well.

    Raises:
        ArchiveError: the archive cannot be run, or its handler does not answer as recorded.
    """
    texts, labels = [request.text for request in golden], len(golden[0].answer)
    with running(file) as worker:
        rounds = [[worker.classify([text], top_k=labels)[0] for text in texts], worker.classify(texts, top_k=labels)]
        rounds += [worker.classify(texts, top_k=labels, field=field) for field in fields[:1]]
    for answers in rounds:
        for request, answer in zip(golden, answers, strict=True):
            if mistake := request.mistake(answer):
                raise ArchiveError(f"The handler does not answer as the exported module did: {mistake}.")
