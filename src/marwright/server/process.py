"""Launches TorchServe's processes and ends them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from marwright.console.progress import say
from marwright.errors import ServerError
from marwright.processes.interrupts import held
from marwright.server.failure import StartLog
from marwright.server.properties import LISTENING_VARIABLES

# Workers end with the frontend, which they lose their connection to.
_WORKERS_END_S = 3
# Nobody writes to the pipe any more by then.
_LAST_WORDS_S = 5
_PROGRAMS = ("org.pytorch.serve.ModelServer", "model_service_worker.py")


@dataclass(frozen=True)
class Launch:
    """Everything a server is started with. All paths are absolute; ``java_home`` of ``None`` means ``PATH``."""

    state: Path
    scratch: Path
    properties: Path
    model_store: Path
    log_config: Path
    java_home: Path | None

    def run(self, log: StartLog, *, foreground: bool) -> int:
        """Run this environment's ``torchserve --start``.

        Returns:
            The id of the Java process it leaves behind.

        Raises:
            ServerError: there is no such process.
        """
        starter = showing = None
        try:
            console = (self.state / "logs" / "console.log").open("wb")
            with console, held():
                starter = subprocess.Popen(
                    self._command(),
                    cwd=self.state,
                    env=self._environment(foreground),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if foreground else console,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C is for marwright, which then stops the server in an orderly way.
                    start_new_session=True,
                )
            if starter.stdout is not None:
                showing = threading.Thread(target=_show, args=(starter.stdout, console.name), daemon=True)
                showing.start()
            starter.wait()
            return int((self.scratch / ".model_server.pid").read_text())
        except BaseException as error:
            if starter is not None:
                with held():
                    # Java may be there already, though nobody has noted its number yet.
                    _kill_all(_in_session(starter.pid))
                    starter.wait()
            if showing is not None:
                showing.join(_LAST_WORDS_S)
            if isinstance(error, OSError | ValueError):
                reason = log.last_words() or str(error)
                raise ServerError(f"TorchServe did not start: {reason} (see {log.logs}).") from error
            raise

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
        # The first and the last would win over --ts-config, where they stand already; the second is decided here.
        for name in ("TS_CONFIG_FILE", "JAVA_HOME", *LISTENING_VARIABLES.values()):
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


def _show(stream: IO[bytes], log: str) -> None:
    """Show what a server prints as long as it does, without what a terminal would obey, and keep it in a file."""
    with stream, Path(log).open("ab", buffering=0) as kept:
        for line in stream:
            # Whatever cannot be written, the server must never wait for a reader.
            with suppress(OSError):
                kept.write(line)
            with suppress(OSError):
                say(line.decode(errors="replace").rstrip("\r\n"))


def end(pid: int, grace_s: float) -> None:
    """Ask a server to end, wait up to ``grace_s`` seconds, then kill what is left of it and its workers."""
    family: list[psutil.Process] = []
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        # A worker whose parent has died is nobody's child, but it stays in the session.
        if (session := os.getsid(pid)) != os.getsid(0):
            family += _in_session(session)
        if grace_s > 0:
            process.terminate()
        _wait([process], grace_s)
        _wait(family, min(grace_s, _WORKERS_END_S))
    except (psutil.NoSuchProcess, ProcessLookupError):
        pass
    finally:
        with held():
            _kill_all(family)


def started_with(folder: str) -> list[psutil.Process]:
    """TorchServe's processes on this machine that have a server's private folder on their command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if any(folder in word for word in words) and any(word.endswith(_PROGRAMS) for word in words):
                found.append(process)
    return found


def end_started_with(folder: str) -> None:
    """Kill what is left of a server whose process was never noted."""
    with held():
        _kill_all(started_with(folder))


def _in_session(session: int) -> list[psutil.Process]:
    found = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.NoSuchProcess):
            if os.getsid(pid) == session:
                found.append(psutil.Process(pid))
    return found


def _kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        # A process that has ended is never killed: psutil knows when its number belongs to another one.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _wait(processes, 5)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs. In a container nobody may collect the dead: a zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait(processes: list[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(map(is_alive, processes)):
        time.sleep(0.05)
