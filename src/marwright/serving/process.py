"""Launches TorchServe's processes and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from marwright.errors import ServerError
from marwright.serving.failure import StartLog


@dataclass(frozen=True)
class Launch:
    """Everything a server is started with. All paths are absolute; ``java_home`` of ``None`` means ``PATH``."""

    state: Path
    scratch: Path
    properties: Path
    model_store: Path
    log_config: Path
    java_home: Path | None

    def run(self, log: StartLog, *, foreground: bool) -> tuple[int, float]:
        """Run this environment's ``torchserve --start``.

        Returns:
            The id of the Java process it leaves behind, and when that was created.

        Raises:
            ServerError: there is no such process.
        """
        with (self.state / "logs" / "console.log").open("wb") as console:
            subprocess.run(
                self._command(),
                cwd=self.state,
                env=self._environment(foreground),
                stdin=subprocess.DEVNULL,
                stdout=2 if foreground else console,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for marwright, which then stops the server in an orderly way.
                start_new_session=True,
                check=False,
            )
        try:
            pid = int((self.scratch / ".model_server.pid").read_text())
            return pid, psutil.Process(pid).create_time()
        except (OSError, ValueError, psutil.Error) as error:
            raise ServerError(f"TorchServe did not start: {log.last_words()} (see {log.logs}).") from error

    def _command(self) -> list[str]:
        # -P: the working directory must not be able to shadow a module.
        return [
            *(sys.executable, "-P", "-m", "ts.model_server", "--start", "--ncs"),
            *("--ts-config", str(self.properties)),
            *("--model-store", str(self.model_store)),
            *("--log-config", str(self.log_config)),
        ]

    def _environment(self, foreground: bool) -> dict[str, str]:
        environment = dict(os.environ)
        # The first would win over --ts-config; the second is decided here.
        for name in ("TS_CONFIG_FILE", "JAVA_HOME"):
            environment.pop(name, None)
        if self.java_home is not None:
            environment["JAVA_HOME"] = str(self.java_home)
        if not foreground:
            # Nobody sees the console; the same lines are in ts_log.log, which is kept short.
            environment["CONSOLE_LOG_LEVEL"] = "off"
        return environment | {
            "TMPDIR": str(self.scratch),  # where `torchserve` keeps its process id
            "TEMP": str(self.scratch),  # where Java keeps sockets and unpacked archives
            "LOG_LOCATION": str(log_folder := self.state / "logs"),
            "METRICS_LOCATION": str(log_folder),
        }


def end(pid: int, grace_s: float) -> None:
    """Ask a server to end, wait up to ``grace_s`` seconds, then kill what is left of it and its workers."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        if grace_s > 0:
            process.terminate()
    except psutil.NoSuchProcess:
        return
    _wait(family, grace_s)
    for member in family:
        # A process that has ended is never killed: psutil knows when its number belongs to another one.
        with suppress(psutil.NoSuchProcess):
            member.kill()
    _wait(family, 5)


def _is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs. In a container nobody may collect the dead: a zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, which is how containers are stopped, end the block like Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait(processes: list[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(map(_is_alive, processes)):
        time.sleep(0.05)
