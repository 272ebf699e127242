"""A program that leaves daemons behind, and whether they have ended."""

from __future__ import annotations

import psutil

# Its daemons write their numbers into a file, two in each process that runs it.
DAEMON = """\
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
        with open({pids!r}, "a") as file:
            file.write(f"{{os.getpid()}}\\n")
        time.sleep(600)
        os._exit(0)
    os._exit(0)
os.wait()
while not os.path.exists({pids!r}) or len(open({pids!r}).readlines()) % 2:
    time.sleep(0.01)
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
