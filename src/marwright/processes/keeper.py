"""Runs a command, and ends with it all that it has started, daemons too; run in a process of its own.

A daemon leaves its session and its parent. Linux gives such orphans to the nearest ancestor that has asked for them
(prctl(2), PR_SET_CHILD_SUBREAPER), which this process does. Elsewhere they go to the first process of the system.

Arguments: the command.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_SET_CHILD_SUBREAPER = 36
# Between being asked to end and being ended, in seconds.
_GRACE_S, _LONGEST_S = 3.0, 10.0


def kept(command: Sequence[str]) -> list[str]:
    """The command that runs another one in this way; its process should lead a session. SIGTERM ends it."""
    # -I: nothing of the archive is on this process's path.
    return [sys.executable, "-I", "-S", __file__, *command]


def main(command: list[str]) -> None:
    """Run it, and end as it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: _end(child))
    code = child.wait()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_orphans()
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    signal.signal(signal.SIGALRM, lambda *_: child.kill())
    signal.setitimer(signal.ITIMER_REAL, _GRACE_S)


def _end_orphans() -> None:
    """End every child, and every child of those that this process then inherits."""
    until = time.monotonic() + _LONGEST_S
    with suppress(ChildProcessError):
        while time.monotonic() < until:
            for pid in _children():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.005)


def _children() -> Iterator[int]:
    own = str(os.getpid())
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name before the last bracket may hold anything.
            if status.read_text(errors="replace").rpartition(")")[2].split()[1] == own:
                yield int(status.parent.name)


if __name__ == "__main__":
    main(sys.argv[1:])
