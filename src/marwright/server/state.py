"""What a state folder remembers about the server that runs from it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from marwright.errors import ServerError
from marwright.files import read_json, stable_json, write_text
from marwright.processes.locking import locked
from marwright.server.client import TorchServe
from marwright.server.identity import ProcessIdentity
from marwright.server.process import started_with

DEFAULT_STATE = Path(".marwright")
_FILE = "server.json"
_FORMAT = 2
SCRATCH_PREFIX = "marwright-"


@dataclass(frozen=True)
class RunningServer:
    """A TorchServe that has been started: its process, its addresses and its files.

    ``pid`` is 0 until there is a process. ``started`` is when it was started, in seconds since 1970, for people;
    ``identity`` names the process for good (``None``: an older marwright has written this).
    ``scratch`` is the private temporary folder of the server (sockets, unpacked archives), removed with it.
    ``key_file`` holds the keys where requests need one. ``model_store`` is the folder with its archives.
    ``grpc_inference`` and ``grpc_management`` are ``HOST:PORT``. An address is ``None`` where nobody can ask.
    """

    pid: int
    started: float
    inference: str
    management: str
    metrics: str | None
    models: tuple[str, ...]
    logs: str
    scratch: str
    java: str
    properties: str
    key_file: str | None = None
    model_store: str | None = None
    grpc_inference: str | None = None
    grpc_management: str | None = None
    identity: ProcessIdentity | None = None

    @property
    def client(self) -> TorchServe:
        """A client of it."""
        return TorchServe(
            inference=self.inference,
            management=self.management,
            metrics=self.metrics,
            key_file=Path(self.key_file) if self.key_file else None,
        )

    def is_alive(self) -> bool:
        """Whether the server's process still runs. In a container nobody may collect the dead: a zombie does not."""
        if self.identity is not None:
            return self.identity.is_alive()
        # Written before there was a process, or by an older marwright: the folder's name is on the command line.
        return any(self.pid in (0, process.pid) for process in started_with(self.scratch))


def remember(state: Path, server: RunningServer) -> None:
    """Write the server down in its state folder."""
    write_text(state / _FILE, stable_json({"format": _FORMAT, **asdict(server)}))


def recall(state: Path) -> RunningServer | None:
    """Return the server written down in ``state``, alive or not; ``None`` if there is none.

    Raises:
        ServerError: it is no folder, or what is written there makes no sense to this marwright.
    """
    file = state / _FILE
    try:
        fields: dict[str, Any] = read_json(file)
        newer = fields.get("format", 1) > _FORMAT
        known = {field.name for field in dataclasses.fields(RunningServer)}
        identity = fields.get("identity")
        server = RunningServer(
            **{name: value for name, value in fields.items() if name in known}
            | {"models": tuple(fields["models"]), "identity": ProcessIdentity(**identity) if identity else None}
        )
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise ServerError(f"{state} is a file, or lies below one; --state names a folder.") from error
    except OSError as error:
        raise ServerError(f"{file}: cannot be read: {error.strerror or error}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ServerError(
            f"{file} is not what marwright writes there. If no server runs from {state}, remove that file; "
            f"`ps` shows one as org.pytorch.serve.ModelServer."
        ) from error
    if newer:
        raise ServerError(f"{state} was written by a newer marwright: use that one, or another --state.")
    return server


def forget(state: Path, server: RunningServer) -> None:
    """Remove what a server that has ended leaves behind, unless another one is there by now. Its logs stay."""
    # The path comes from a file: remove nothing but a folder that looks like one of ours.
    if Path(server.scratch).name.startswith(SCRATCH_PREFIX):
        shutil.rmtree(server.scratch, ignore_errors=True)
    there = recall(state)
    if there is None or there.scratch == server.scratch:
        (state / "key_file.json").unlink(missing_ok=True)
        (state / _FILE).unlink(missing_ok=True)


@contextmanager
def alone_in(state: Path, *, wait_s: float = 0) -> Iterator[None]:
    """Hold the lock of a state folder that exists: one process at a time starts or stops a server there.

    Raises:
        ServerError: another one does so for longer than ``wait_s`` seconds.
    """
    taken = f"Another marwright is starting or stopping a server with {state}: wait until it is done."
    with locked(state / "lock", taken, wait_s=wait_s, error=ServerError):
        yield


@contextmanager
def usable(state: Path) -> Iterator[None]:
    """Make a state folder, and say in a sentence why something cannot be written there.

    Raises:
        ServerError: it is a file, read-only or full, or something else is in the way.
    """
    with suppress(OSError):
        if state.exists() and not state.is_dir():
            raise ServerError(f"{state} is a file; --state names a folder.")
    try:
        state.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ServerError(
            f"{error.filename or state}: {error.strerror or error}. The server's state and logs cannot be written: "
            f"make room, or name another folder with --state."
        ) from error
