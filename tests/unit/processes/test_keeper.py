"""The keeper ends as its command does, and nothing that the command has started outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemons import DAEMON, gone
from marwright.processes.keeper import kept


def awaited(pids: list[int]) -> None:
    until = time.monotonic() + 30
    while not all(map(gone, pids)):
        assert time.monotonic() < until, "still running"
        time.sleep(0.05)


def python(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(kept([sys.executable, "-c", program]), start_new_session=True)


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_keeper_ends_as_its_command_does(code: int) -> None:
    assert python(f"import os; os._exit({code})").wait(30) == code


def test_the_keeper_dies_as_its_command_does() -> None:
    killed = python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")

    assert killed.wait(30) == -signal.SIGSEGV


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to who asks for them")
def test_a_command_that_will_not_end_is_ended_with_its_daemons(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    process = python(stubborn + DAEMON.format(pids=str(pids)) + "time.sleep(600)")
    until = time.monotonic() + 30
    while not pids.exists() or len(pids.read_text().splitlines()) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)

    assert process.wait(30) == -signal.SIGKILL
    awaited([int(line) for line in pids.read_text().splitlines()])
