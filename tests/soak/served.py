"""A TorchServe under test: one model, its workers as the management address names them, and who may ask."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from marwright.errors import ServerError
from marwright.files import read_json
from marwright.server.ports import Ports
from marwright.server.properties import Properties
from marwright.server.server import RunningServer, serving

# A proxy of the environment is not meant for this machine's own addresses.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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
        key = self.keys().get("inference")
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def workers(self) -> dict[int, str]:
        """Process id to status of every worker."""
        status, text = ask(f"{self.server.management}/models/{quote(self.model)}", key=self.keys().get("management"))
        if status != 200:
            raise ServerError(f"{self.server.management}: /models/{self.model} is answered with {status}: {text}")
        return {worker["pid"]: worker["status"] for worker in json.loads(text)[0]["workers"]}

    def versions(self) -> dict[str, str]:
        """Every registered version, with the file it was registered from."""
        _, text = ask(f"{self.server.management}/models/{quote(self.model)}/all", key=self.keys().get("management"))
        return {one["modelVersion"]: one["modelUrl"] for one in json.loads(text)}

    def processes(self) -> dict[str, psutil.Process]:
        """Java as ``frontend``, and the workers as ``worker 1``, … in the order of their process ids."""
        found = {"frontend": psutil.Process(self.server.pid)}
        return found | {f"worker {at}": psutil.Process(pid) for at, pid in enumerate(sorted(self.workers()), 1)}

    def logged(self) -> str:
        """Everything the server and its workers have logged."""
        files = sorted(Path(self.server.logs).iterdir())
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def ask(url: str, body: bytes | None = None, *, key: str | None = None, method: str | None = None) -> tuple[int, str]:
    """Send one request; return the answer's status and text."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key is not None else {})
    try:
        with _OPENER.open(urllib.request.Request(url, body, headers, method=method), timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def awaited(condition: Callable[[], bool], timeout_s: float) -> float | None:
    """Wait until a condition holds; return the seconds it took, or ``None`` if it did not within ``timeout_s``."""
    started = time.monotonic()
    while time.monotonic() < started + timeout_s:
        if condition():
            return time.monotonic() - started
        time.sleep(0.02)
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
