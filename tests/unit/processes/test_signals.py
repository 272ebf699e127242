"""No process outlives the command that started it, whatever ends the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from marwright.processes.child import child
from marwright.processes.interrupts import held, interruptible
from marwright.release.workers import calmly
from waiting import eventually

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# A process that starts another one, as a handler may.
PARENT = [sys.executable, "-c", f"import subprocess; subprocess.Popen({SLEEP!r}); print(1); subprocess.run({SLEEP!r})"]


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("wb") as log,
        child(PARENT, cwd=tmp_path, environment=dict(os.environ), output=log) as process,
    ):
        # The keeper has the parent, which has two.
        eventually(lambda: len(psutil.Process(process.pid).children(recursive=True)) == 3)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    eventually(lambda: all(map(ended, family)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_waits_for_the_end_of_what_must_not_be_cut(number: int) -> None:
    done = []

    def work() -> None:
        with held():
            os.kill(os.getpid(), number)
            time.sleep(0)
            done.append("started and noted")
        done.append("never")

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()
    assert done == ["started and noted"]


def test_a_second_polite_signal_does_not_disturb_the_cleaning_up() -> None:
    cleaned = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()
    assert cleaned == [True]


def test_handlers_are_put_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        usual = signal.getsignal(signal.SIGTERM)
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != usual
        assert signal.getsignal(signal.SIGTERM) == usual
    finally:
        signal.signal(signal.SIGHUP, before)


def test_calm_work_ends_with_the_processes_it_waits_for() -> None:
    own = subprocess.Popen(SLEEP)  # another child of this process is nobody's business
    children = psutil.Process().children()
    try:
        before = time.monotonic()

        def work() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            subprocess.run(SLEEP, check=False)

        with pytest.raises(KeyboardInterrupt), interruptible():
            calmly(work)
        assert time.monotonic() - before < 60
        assert psutil.Process().children() == children
        assert own.poll() is None
    finally:
        own.kill()
        own.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize(
    "arguments", [["predict", "ARCHIVE", "-"], ["verify", "ARCHIVE"]], ids=lambda arguments: str(arguments[0])
)
def test_a_signal_ends_a_verb_with_its_worker(tiny_archive: Path, arguments: list[str], number: int) -> None:
    command = [sys.executable, "-m", "marwright", *arguments]
    command = [str(tiny_archive) if word == "ARCHIVE" else word for word in command]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as verb:
        assert verb.stdin is not None
        verb.stdin.write(b"tea\n")  # and it waits for more
        verb.stdin.flush()
        family: list[psutil.Process] = []

        def started() -> bool:
            family[:] = psutil.Process(verb.pid).children(recursive=True)
            return bool(family)

        eventually(started)
        verb.send_signal(number)
        assert verb.wait(30) == 130
    eventually(lambda: all(map(ended, family)), timeout_s=10)
