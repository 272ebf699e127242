"""A TorchServe under test: one model, its workers as the management address names them, and who may ask."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from marwright.files import read_json
from marwright.server.client import http_client
from marwright.server.ports import Ports
from marwright.server.properties import Properties
from marwright.server.server import RunningServer, serving
from marwright.server.versions import Versions


@dataclass(frozen=True)
class Served:
    """A running server, the archive it serves, the model's name, and the host and port of its gRPC."""

    server: RunningServer
    archive: Path
    model: str
    grpc: str = ""

    @property
    def path(self) -> str:
        """The path of the predictions."""
        return f"/predictions/{quote(self.model, safe='')}"

    @property
    def url(self) -> str:
        """The URL of the predictions."""
        return self.server.inference + self.path

    @property
    def port(self) -> int:
        """Where predictions are asked for."""
        return int(self.server.inference.rpartition(":")[2])

    def keys(self) -> dict[str, str]:
        """The keys by their purpose; empty if this server asks for none."""
        if self.server.key_file is None:
            return {}
        return {purpose: entry["key"] for purpose, entry in read_json(Path(self.server.key_file)).items()}

    @property
    def largest_body(self) -> int:
        """Bytes that the body of a request may have; beyond, it is answered with 413."""
        return int(Properties.read(Path(self.server.properties)).settings["max_request_size"])

    def headers(self) -> dict[str, str]:
        """What a request for a prediction needs besides its content type."""
        return self.server.client.key_header("inference")

    def workers(self) -> dict[int, str]:
        """Process id to status of every worker."""
        (described,) = self.server.client.accepted("GET", f"/models/{quote(self.model)}")
        return {worker["pid"]: worker["status"] for worker in described["workers"]}

    def versions(self) -> dict[str, str]:
        """Every registered version, with the file it was registered from."""
        return {one.name: one.file for one in Versions(self.server.client, self.model).all()}

    def processes(self) -> dict[str, psutil.Process]:
        """Java as ``frontend``, and the workers as ``worker 1``, … in the order of their process ids."""
        found = {"frontend": psutil.Process(self.server.pid)}
        return found | {f"worker {at}": psutil.Process(pid) for at, pid in enumerate(sorted(self.workers()), 1)}

    def logged(self) -> str:
        """Everything the server and its workers have logged."""
        files = sorted(Path(self.server.logs).iterdir())
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def ask(url: str, body: bytes | None = None, *, key: str | None = None, method: str | None = None) -> tuple[int, str]:
    """Send one request over a connection of its own; return the answer's status and text."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key is not None else {})
    with http_client() as client:
        answer = client.request(method or ("GET" if body is None else "POST"), url, body=body, headers=headers)
        return answer.status, answer.data.decode()


def awaited(condition: Callable[[], bool], timeout_s: float, pause_s: float = 0.02) -> float | None:
    """Wait until a condition holds; return the seconds it took, or ``None`` if it did not within ``timeout_s``."""
    started = time.monotonic()
    while time.monotonic() < started + timeout_s:
        if condition():
            return time.monotonic() - started
        time.sleep(pause_s)
    return None


@contextmanager
def served(archive: Path, properties: Path, changes: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Serve one archive on free ports, from a state folder that goes with the server.

    Args:
        archive: a ``.mar`` file.
        properties: TorchServe's configuration.
        changes: settings to put in the place of the file's.

    Raises:
        ServerError: TorchServe could not be started.
    """
    state = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        own = properties
        if changes:
            own = state / properties.name
            # Of a key that is given twice the last one counts.
            lines = [properties.read_text(encoding="utf-8"), *(f"{key}={value}" for key, value in changes.items())]
            own.write_text("\n".join([*lines, ""]), encoding="utf-8")
        names = [archive.name]
        ports = Ports.free()
        with serving(archive.parent, own, state=state / "state", models=names, ports=ports) as server:
            yield Served(server, archive, server.models[0], f"127.0.0.1:{ports.grpc_inference}")
    finally:
        shutil.rmtree(state, ignore_errors=True)
