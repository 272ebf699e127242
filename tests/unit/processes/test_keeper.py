"""The keeper ends as its command does, and nothing that the command has started outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemons import DAEMON, gone
from marwright.processes.keeper import kept
from waiting import eventually


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
    eventually(lambda: pids.exists() and len(pids.read_text().splitlines()) >= 2)
    os.kill(process.pid, signal.SIGTERM)

    assert process.wait(30) == -signal.SIGKILL
    started = [int(line) for line in pids.read_text().splitlines()]
    eventually(lambda: all(map(gone, started)))
