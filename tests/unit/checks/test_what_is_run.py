"""Which code of an archive is run by a check of it, and what is left of it afterwards."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from command_line import marwright
from foreign_archives import GOOD_HANDLER, archived, minimal
from marwright.checks.verify import verify
from marwright.processes.keeper import kept
from verified import CONFIG, check, failures

EVIL = pickle.dumps(print)
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to who asks for them")


def tracing(trace: Path) -> str:
    return f"from pathlib import Path\nPath({str(trace)!r}).touch()\n" + GOOD_HANDLER


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def awaited(pids: list[int]) -> None:
    until = time.monotonic() + 30
    while not all(map(gone, pids)):
        assert time.monotonic() < until, "still running"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"model.pkl": EVIL}, "no pickles"),
        ({"hashes.json": b"{}"}, "hashes"),
        ({"a.gz": b"\x1f\x8b\x08"}, "no pickles"),
    ],
    ids=["a pickle", "a changed file", "a file that cannot be read"],
)
def test_nothing_is_run_once_a_check_has_failed(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    trace = tmp_path / "trace"
    file = minimal(tmp_path / "a.mar", files, handler=tracing(trace))
    report = verify(file)

    assert failures(report).keys() == {what}
    assert not trace.exists()
    for name in ("handler imports", "handler contract", "worker", "golden requests", "latency"):
        assert check(report, name).state == "skipped"
    assert check(report, "worker").detail == f"nothing of it is run, since this failed: {what}; --run-anyway runs it"


@pytest.mark.slow
def test_it_is_run_anyway_if_one_says_so(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    file = archived(tmp_path / "a", tracing(trace), extra={"model.pkl": EVIL}, config=CONFIG)
    done = marwright("verify", file, "--run-anyway")

    assert done.returncode == 1
    assert "✓ worker" in done.stdout
    assert "✗ no pickles" in done.stdout
    assert trace.exists()


def test_no_run_means_no_run_anyway_too(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    verify(minimal(tmp_path / "a.mar", {}, handler=tracing(trace)), run=False, run_anyway=True)

    assert not trace.exists()


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


@pytest.mark.slow
@ON_LINUX
def test_a_daemon_that_a_handler_starts_ends_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    report = verify(archived(tmp_path / "a", DAEMON.format(pids=str(pids)) + GOOD_HANDLER, config=CONFIG))

    assert not failures(report)
    started = [int(line) for line in pids.read_text().splitlines()]
    assert len(started) == 4, "two to look at it, two to serve"
    assert all(map(gone, started))


def python(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(kept([sys.executable, "-c", program]), start_new_session=True)


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_keeper_ends_as_its_command_does(code: int) -> None:
    assert python(f"import os; os._exit({code})").wait(30) == code


def test_the_keeper_dies_as_its_command_does() -> None:
    killed = python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")

    assert killed.wait(30) == -signal.SIGSEGV


@pytest.mark.slow
@ON_LINUX
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
