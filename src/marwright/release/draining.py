"""Waits until nobody's request is with a version, so that its workers can be ended without losing one."""

from __future__ import annotations

import time

from marwright.console.progress import waiting
from marwright.release.server_metrics import read_counters
from marwright.server.versions import Versions

_PAUSE_S = 0.2
# Who still sends requests after so many times the longest answer means to go on.
_PATIENCE = 2


def drained(versions: Versions, version: str, *, asked: int | None = None) -> bool:
    """Wait until a version that is not the default one has answered everything.

    TorchServe shows what waits in a version's queue, but not what its workers have in hand. They have it for no longer
    than the version's response timeout: when for so long nothing has waited and no request has come, there is none.

    Of a version that has never been the default one, ``asked`` is how many requests this process has sent to it, all of
    which are answered. If TorchServe counted no others there is nothing to wait for.

    Returns:
        False if requests with this version in their path kept coming.

    Raises:
        ServerError: the server cannot be asked.
    """
    now = versions.get(version)
    if now is None or not now.workers:
        return True
    counted = _requests(versions, version)
    if asked is not None and counted is not None and counted <= asked and not now.pending:
        return True
    started = quiet_since = time.monotonic()
    with waiting("") as status:
        while (passed := time.monotonic() - quiet_since) < now.response_timeout_s:
            status.update(
                f"{versions.model} {version}: ends in {now.response_timeout_s - passed:.0f} s, the longest it may take "
                f"for a request it still has"
            )
            time.sleep(min(_PAUSE_S, now.response_timeout_s - passed))
            described, last = versions.get(version), counted
            counted = _requests(versions, version)
            if described is None:
                return True
            if described.pending or counted != last:
                quiet_since = time.monotonic()
            if time.monotonic() - started > _PATIENCE * now.response_timeout_s + _PAUSE_S:
                return False
    return True


def _requests(versions: Versions, version: str) -> float | None:
    counters = read_counters(versions.server, versions.model)
    return counters.of(version).requests if counters else None
