"""Asks TorchServe whether the models can answer, and each model of marwright one question.

``/ping`` is healthy long before a worker is READY, and one that is READY need not be able to answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from marwright.errors import ArchiveError, ServerError
from marwright.mar.names import can_be_asked_for
from marwright.mar.reading import describe
from marwright.server.client import Refused, TorchServe
from marwright.server.failure import StartLog
from marwright.server.state import RunningServer
from marwright.server.versions import Versions

_PAUSE_S = 0.1
_ANSWERS_WITHIN_S = 5
# Every archive of marwright answers it, if only with a 400 where its texts have other fields.
_QUESTION = {"text": "herbal tea"}
_NO_ANSWER, _TOO_LONG, _SERVER_FAILED = 0, 413, 500


def wait_until_ready(
    server: RunningServer, *, archives: Collection[str], log: StartLog, timeout_s: float
) -> tuple[str, ...]:
    """Wait up to ``timeout_s`` seconds until all of these archives are loaded and all workers of every model are READY.

    Returns:
        The names of the models, sorted.

    Raises:
        ServerError: the server ended, an archive was refused or has a name that no path can have, a worker died, or
            the time is over.
    """
    deadline = time.monotonic() + timeout_s
    client, waiting_for = server.client, "its management address"
    why = "A large model may need a longer --timeout."
    while time.monotonic() < deadline:
        if not server.is_alive():
            raise ServerError(f"TorchServe ended while it started: {log.last_words()} (see {server.logs}).")
        if failure := log.failure():
            raise ServerError(failure)
        # It listens when it has registered the archives: what is missing then is on its way into the log.
        try:
            loaded = client.models(timeout_s=_ANSWERS_WITHIN_S)
        except Refused as error:
            why = _why(error, server.properties)
        except ServerError:
            pass  # it does not listen yet
        else:
            _require_names(loaded)
            missing = sorted(set(archives) - set(loaded.values()))
            missing += [name for name in sorted(loaded) if not _can_answer(client, name)]
            if not missing:
                return tuple(sorted(loaded))
            waiting_for = ", ".join(missing)
        time.sleep(_PAUSE_S)
    raise ServerError(
        f"TorchServe was not ready after {timeout_s:g} seconds; it was still waiting for {waiting_for} "
        f"(see {server.logs}). {why}"
    )


def _why(refused: Refused, properties: str) -> str:
    if "Token" in str(refused):
        return f"It refuses the keys that it has just written: remove token_expiration_min from {properties}."
    return str(refused)


def _require_names(loaded: Mapping[str, str]) -> None:
    for name, file in loaded.items():
        if not can_be_asked_for(name):
            raise ServerError(
                f"{file}: nobody can ask for a model called {name!r}, which is a part of the path /predictions/NAME. "
                f"Pack it under a name without /, : and ?, or serve it as load_models=NAME={file}."
            )


def _can_answer(client: TorchServe, model: str) -> bool:
    try:
        return Versions(client, model, timeout_s=_ANSWERS_WITHIN_S).default().is_whole
    except ServerError:
        return False


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
                f"{_cure_of(status, server.properties)}"
            )


def _is_ours(archive: Path) -> bool:
    with suppress(ArchiveError):
        return isinstance(describe(archive)["setup"], dict)
    return False


def _said(status: int, answer: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return f"{status}, {str(json.loads(answer)['message']).rstrip('.')}"
    return str(status) if status else "no answer came"


def _cure_of(status: int, properties: str) -> str:
    if status == _TOO_LONG:
        return f"Remove max_request_size from {properties}, or make it larger."
    return (
        f"`marwright verify` tries the archive; `marwright lint {properties}` looks for what keeps it from answering."
    )
