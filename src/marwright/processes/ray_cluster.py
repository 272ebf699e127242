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

OBJECTS_BYTES = 200_000_000
"""Shared memory of a cluster that is started here; tasks hand over small things only."""


@contextmanager
def connected(address: str | None, cpus: int | None = None) -> Iterator[None]:
    """Connect to a cluster, and leave it afterwards; a process that is connected already stays so.

    Args:
        address: of a cluster that runs; ``auto`` is the one that this machine belongs to. If none is given, a cluster
            of this machine alone is started, and ended afterwards.
        cpus: cores of a cluster that is started here; all if not given.

    Raises:
        MarwrightError: Ray is not installed, no cluster answers at the address, or none can be started here.
    """
    if not is_installed("ray"):
        raise MarwrightError("--engine ray needs Ray, which is not installed: pip install 'marwright[ray]'")
    import ray

    if ray.is_initialized():
        yield
        return
    here = {"num_cpus": cpus, "object_store_memory": OBJECTS_BYTES, "include_dashboard": False}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers from here
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            _knock(address)
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **({} if address else here))
    except Exception as error:  # Ray raises all kinds, Exception itself where its processes start too slowly
        why = f"--address {address}: no Ray cluster answers there" if address else "Ray cannot be started here"
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
