"""A process of ours for the length of a block, which ends with all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from marwright.processes.interrupts import held
from marwright.processes.keeper import kept

# For the keeper: three seconds for what ends by itself, and ten for what that has left.
_GRACE_S = 15


@contextmanager
def child(
    command: Sequence[str], *, cwd: Path, environment: dict[str, str], output: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own, under a keeper, so that what it starts ends with it, daemons too.

    It reads nothing, has all of ``environment`` and nothing else for variables, and writes standard output and error to
    ``output``.
    """
    process = None
    try:
        # A signal between the start and the assignment would leave a process that nobody knows.
        with held():
            process = subprocess.Popen(
                kept(command),
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        yield process
    finally:
        if process is not None:
            with held():
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_S)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
