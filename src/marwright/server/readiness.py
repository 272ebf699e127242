"""Asks TorchServe's management address whether the models can answer. ``/ping`` is healthy long before that."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from marwright.errors import ServerError
from marwright.mar.names import can_be_asked_for
from marwright.server.client import Refused, TorchServe
from marwright.server.failure import StartLog
from marwright.server.state import RunningServer
from marwright.server.versions import Versions

_PAUSE_S = 0.1
_ANSWERS_WITHIN_S = 5


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
