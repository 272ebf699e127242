"""Explains from its logs why a server or a worker did not start."""

from __future__ import annotations

import re
from pathlib import Path

# What TorchServe's worker prints last, and what the server says when a worker did not even get to that.
_WORKER_DIED = "Backend worker process died."
_SERVER_SAYS = re.compile(r"Load model failed|Failed to load model|Auto recovery failed|Backend worker did not")
_WORKER_THREAD = re.compile(r"W-\d+-(?P<model>\S+)_[^_\s]+-std(?:out|err)$")
# What the launcher and Java print around the reason.
_JAVA_PREAMBLE = re.compile(r"^(?:Error|Warning|WARNING|OpenJDK|Picked up)\b")
_NO_JAVA_MACHINE = re.compile(r"Could not create the Java Virtual Machine|occurred during initialization of VM")
_JAVA_SAYS = re.compile(r"Invalid configuration|Exception|Error:|Unrecognized|not found")
_TRACEBACK = "Traceback (most recent call last):"


class StartLog:
    """What a server has written to its log folder since this object was made.

    Log files are appended to from one start to the next, so earlier failures must not be taken for this one's.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._before = {name: _size(logs / name) for name in ("model_log.log", "ts_log.log", "console.log")}

    def failure(self) -> str | None:
        """Say why a worker died or an archive was refused; ``None`` as long as neither is in the logs."""
        return self._worker_failure() or self._server_failure()

    def last_words(self) -> str:
        """Return what Java printed before it ended: the line that looks like a reason, or the last ones."""
        lines = [line for line in self._new("console.log").splitlines() if line.strip()]
        if any(_NO_JAVA_MACHINE.search(line) for line in lines):
            said = next((line for line in lines if not _JAVA_PREAMBLE.search(line)), lines[-1])
            return f"{said.strip()}: vmargs has an option that this Java does not take"
        telling = [line for line in lines if _JAVA_SAYS.search(line)]
        return telling[0].strip() if telling else "\n".join(lines[-3:])

    def _worker_failure(self) -> str | None:
        lines = [line.partition(" MODEL_LOG - ") for line in self._new("model_log.log").splitlines()]
        heads = [head for head, _, text in lines if text == _WORKER_DIED]
        if not heads:
            return None
        match = _WORKER_THREAD.search(heads[0])
        thread = heads[0].split()[-1]
        # Several workers may die at once: follow the first.
        traceback = _first_traceback([text for head, _, text in lines if head.split()[-1:] == [thread]])
        if traceback is None:
            return None
        whose = f"The worker of {match['model']}" if match else "A worker"
        frames = "".join(f"\n{line}" for line in _own_frames(traceback[:-1]))
        return (
            f"{whose} died while it loaded the model: {traceback[-1]}{frames}\n"
            f"The whole traceback is in {self.logs / 'model_log.log'}."
        )

    def _server_failure(self) -> str | None:
        for line in self._new("ts_log.log").splitlines():
            if _SERVER_SAYS.search(line):
                said = line.split(" - ", 1)[-1]
                return f"TorchServe could not load a model: {said} (see {self.logs})."
        return None

    def _new(self, name: str) -> str:
        path = self.logs / name
        before = self._before[name]
        try:
            with path.open("rb") as file:
                # A file that has shrunk has been rolled over: all of it is new.
                file.seek(before if _size(path) >= before else 0)
                return file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""


def _first_traceback(lines: list[str]) -> list[str] | None:
    """Return the lines from the first traceback's head to its exception; the first one is the cause."""
    if _TRACEBACK not in lines:
        return None
    start = lines.index(_TRACEBACK)
    for end in range(start + 1, len(lines)):
        if lines[end] and not lines[end].startswith(" "):
            return lines[start : end + 1]
    return None


def _own_frames(traceback: list[str]) -> list[str]:
    """Keep the last two frames that are neither TorchServe's nor the import system's."""
    frames: list[list[str]] = []
    for line in traceback:
        if line.startswith('  File "'):
            frames.append([line])
        elif frames and line.strip("~^ "):
            frames[-1].append(line)
    own = [frame for frame in frames if not re.search(r"site-packages/ts/|importlib", frame[0])]
    return [line for frame in own[-2:] for line in frame]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
