"""A Ray cluster for the length of a block: one that runs already, or one of this machine alone."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from marwright.errors import MarwrightError, first_line
from marwright.installed import is_installed

ALONE = "local"
"""The address of a cluster of this machine alone, which is started and ended for the block."""
_OBJECTS_BYTES = 200_000_000
"""Shared memory of such a cluster; tasks hand over small things only."""


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster, and leave it afterwards; a process that is connected already stays so.

    Args:
        address: of a cluster that runs, ``auto`` for the one that this machine belongs to, or :data:`ALONE`. Without
            one Ray takes the cluster that it finds here, or else starts one for the length of the block.

    Raises:
        MarwrightError: Ray is not installed, no cluster answers at the address, or none can be started here.
    """
    if not is_installed("ray"):
        raise MarwrightError("--engine ray needs Ray, which is not installed: pip install 'marwright[ray]'")
    import ray

    if ray.is_initialized():
        yield
        return
    small = {"object_store_memory": _OBJECTS_BYTES} if address == ALONE else {}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers from here
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address is not None:
            _knock(address)
        ray.init(address, log_to_driver=False, logging_level="ERROR", include_dashboard=False, **small)
    except Exception as error:  # Ray raises all kinds, Exception itself where its processes start too slowly
        named = address not in (None, ALONE)
        why = f"--address {address}: no Ray cluster answers there" if named else "Ray cannot be started here"
        raise MarwrightError(f"{why}: {first_line(error)}.") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray puts a handler of its own there
    with redirect_stdout(sys.stderr):  # a thread of Ray's prints there what happens to workers
        try:
            yield
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Fail at once where nobody listens; Ray would try for three minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            pass
