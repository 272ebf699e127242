"""Asks TorchServe's management address whether the models can answer. ``/ping`` is healthy long before that."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from marwright.errors import ServerError
from marwright.server.client import Management
from marwright.server.failure import StartLog
from marwright.server.state import RunningServer

_PAUSE_S = 0.1


def wait_until_ready(
    server: RunningServer, *, archives: Collection[str], log: StartLog, timeout_s: float
) -> tuple[str, ...]:
    """Wait until every archive is loaded and all workers of every model are READY.

    Args:
        server: the server that has just been started.
        archives: the file names that must be among the loaded ones.
        log: watched for the reason of a failure.
        timeout_s: how long to wait, in seconds.

    Returns:
        The names of the models, sorted.

    Raises:
        ServerError: the server ended, an archive was refused, a worker died, or the time is over.
    """
    deadline = time.monotonic() + timeout_s
    waiting_for = "its management address"
    while time.monotonic() < deadline:
        if not server.is_alive():
            raise ServerError(f"TorchServe ended while it started: {log.last_words()} (see {server.logs}).")
        if failure := log.failure():
            raise ServerError(failure)
        loaded = _loaded(server)
        if loaded is not None:
            refused = sorted(set(archives) - set(loaded))
            unready = [name for name in loaded.values() if not _is_ready(server, name)]
            if not refused and not unready:
                return tuple(sorted(loaded.values()))
            waiting_for = ", ".join([*refused, *unready])
        time.sleep(_PAUSE_S)
    raise ServerError(
        f"TorchServe was not ready after {timeout_s:g} seconds; it was still waiting for {waiting_for} "
        f"(see {server.logs}). A large model may need a longer --timeout."
    )


def _loaded(server: RunningServer) -> dict[str, str] | None:
    """Map the archives TorchServe has registered to their models' names; ``None`` until it listens.

    It registers the archives before it listens, so what is missing here is on its way into the log.
    """
    found: dict[str, str] = {}
    page = "0"
    while page:
        answer = _get(server, f"/models?limit=100&next_page_token={page}")
        if answer is None:
            return None
        found |= {model["modelUrl"]: model["modelName"] for model in answer["models"]}
        page = answer.get("nextPageToken", "")
    return found


def _is_ready(server: RunningServer, name: str) -> bool:
    answer = _get(server, f"/models/{quote(name, safe='')}")
    if answer is None:
        return False
    states = [worker["status"] for worker in answer[0]["workers"]]
    return len(states) >= answer[0]["minWorkers"] and all(state == "READY" for state in states)


def _get(server: RunningServer, path: str) -> Any:
    """Return the JSON answer of the management address, or ``None`` while it does not give one."""
    key_file = Path(server.key_file) if server.key_file is not None else None
    try:
        status, answer = Management(server.management, key_file).ask("GET", path, timeout_s=5)
    except ServerError:
        return None
    return answer if status == 200 else None
