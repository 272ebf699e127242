"""What a state folder remembers about the server that runs from it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from marwright.files import read_json, stable_json, write_text

DEFAULT_STATE = Path(".marwright")
_FILE = "server.json"
SCRATCH_PREFIX = "marwright-"


@dataclass(frozen=True)
class RunningServer:
    """A TorchServe that has been started: its process, its addresses and its files.

    ``started`` is the process's creation time in seconds since 1970: with ``pid`` it names the process for good.
    ``scratch`` is the private temporary folder of the server (sockets, unpacked archives), removed with it.
    ``key_file`` holds the keys where requests need one. ``model_store`` is the folder with its archives.
    """

    pid: int
    started: float
    inference: str
    management: str
    metrics: str
    models: tuple[str, ...]
    logs: str
    scratch: str
    java: str
    properties: str
    key_file: str | None = None
    model_store: str | None = None

    def is_alive(self) -> bool:
        """Whether the server's process still runs. In a container nobody may collect the dead: a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def remember(state: Path, server: RunningServer) -> None:
    """Write the server down in its state folder."""
    write_text(state / _FILE, stable_json(asdict(server)))


def recall(state: Path) -> RunningServer | None:
    """Return the server written down in ``state``, alive or not; ``None`` if there is none to make sense of."""
    try:
        fields = read_json(state / _FILE)
        return RunningServer(**{**fields, "models": tuple(fields["models"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget(state: Path, scratch: Path | None) -> None:
    """Remove what a server that has ended leaves behind. Its logs stay."""
    # The path comes from a file: remove nothing but a folder that looks like one of ours.
    if scratch is not None and scratch.name.startswith(SCRATCH_PREFIX):
        shutil.rmtree(scratch, ignore_errors=True)
    (state / "key_file.json").unlink(missing_ok=True)
    (state / _FILE).unlink(missing_ok=True)
