"""Asks each archive of marwright one question, since a worker that is READY need not be able to answer."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from marwright.errors import ArchiveError, ServerError
from marwright.mar.reading import describe
from marwright.server.state import RunningServer

# Every archive of marwright answers it, if only with a 400 where its texts have other fields.
_QUESTION = {"text": "herbal tea"}
_NO_ANSWER, _TOO_LONG, _SERVER_FAILED = 0, 413, 500


def require_an_answer(server: RunningServer, model_store: Path) -> None:
    """Send a request to each model that marwright has built; a stranger's handler may take any other request ill.

    Raises:
        ServerError: no answer comes, or one that the handler has not given.
    """
    for name, file in server.client.models().items():
        if not _is_ours(model_store / file):
            continue
        status, answer = server.client.predict(f"/predictions/{quote(name, safe='')}", _QUESTION)
        if status in (_NO_ANSWER, _TOO_LONG) or status >= _SERVER_FAILED:
            raise ServerError(
                f"TorchServe has started, but {name} does not answer: {_said(status, answer)} (see {server.logs}). "
                f"{_cure(status, server.properties)}"
            )


def _is_ours(archive: Path) -> bool:
    with suppress(ArchiveError):
        return isinstance(describe(archive)["setup"], dict)
    return False


def _said(status: int, answer: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return f"{status}, {str(json.loads(answer)['message']).rstrip('.')}"
    return str(status) if status else "no answer came"


def _cure(status: int, properties: str) -> str:
    if status == _TOO_LONG:
        return f"Remove max_request_size from {properties}, or make it larger."
    return (
        f"`marwright verify` tries the archive; `marwright lint {properties}` looks for what keeps it from answering."
    )
