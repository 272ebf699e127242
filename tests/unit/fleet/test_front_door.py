"""The container's front door: HAProxy with its configuration, before a stand-in for TorchServe."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from marwright.fleet.container.context import FILES
from marwright.server.ports import Ports
from waiting import eventually

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
Ask = Callable[..., tuple[int, Any]]
VERTEX = {
    "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
}


class StandIn(BaseHTTPRequestHandler):
    """Answers each request with its path; what it says of the model's workers can be set."""

    state = "READY"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer({"workers": [{"status": self.server.state}]})  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"path": self.path})

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def torchserve() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as server:
        server.state = "READY"  # type: ignore[attr-defined]
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def door(torchserve: Any, tmp_path: Path) -> Iterator[Callable[..., Ask]]:
    """Opens the door with some variables of its environment; its own ports and the stand-in's are others here."""
    started = []

    def opened(**environment: str) -> Ask:
        ports = Ports.free()
        text = (FILES / "haproxy.cfg").read_text(encoding="utf-8")
        text = re.sub(r"\b809[012]\b", str(torchserve.server_port), text)
        text = text.replace(":8080", f":{ports.inference}").replace(":8082", f":{ports.metrics}")
        file = tmp_path / "haproxy.cfg"
        file.write_text(text.replace("/tmp/front-door.sock", str(tmp_path / "control")), encoding="utf-8")
        given = {name: value.format(port=ports.management) for name, value in environment.items()}
        command = ["haproxy", "-db", "-f", str(file)]
        started.append(subprocess.Popen(command, env={**os.environ, "MODEL": "goods", **given}))
        port = ports.management if "{port}" in environment.values() else ports.inference

        def ask(path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
            try:
                with urlopen(Request(f"http://127.0.0.1:{port}{path}", body, headers), timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except HTTPError as error:
                return error.code, error.read().decode()
            except OSError:
                return 0, ""

        eventually(lambda: ask("/ready")[0] == 200, 20)
        return ask

    yield opened
    for process in started:
        process.kill()
        process.wait()


def command(tmp_path: Path, line: bytes) -> None:
    """Say something to HAProxy, as the container's first program does."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(tmp_path / "control"))
        control.sendall(line + b"\n")
        control.recv(1024)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/predictions/goods", "/predictions/goods"),
        ("/v1/models/goods:predict", "/v1/models/goods:predict"),
        ("/v2/models/goods/infer", "/v2/models/goods/infer"),
        ("/invocations", "/predictions/goods"),
        (VERTEX["AIP_PREDICT_ROUTE"], "/predictions/goods"),
    ],
)
def test_every_protocols_path_leads_to_the_model(door: Callable[..., Ask], path: str, asked: str) -> None:
    status, answer = door(**VERTEX)(path, b"{}")

    assert (status, json.loads(answer)) == (200, {"path": asked})


def test_whoever_asks_learns_whether_a_worker_is_ready(
    door: Callable[..., Ask], torchserve: Any, tmp_path: Path
) -> None:
    ask = door(**VERTEX)
    ready = ["/ready", "/ping", VERTEX["AIP_HEALTH_ROUTE"], "/v1/models/goods", "/v2/models/goods/ready"]
    ready.append("/v2/health/ready")
    live = ["/live", "/v2/health/live"]

    assert {path: ask(path)[0] for path in ready + live} == dict.fromkeys(ready + live, 200)
    assert json.loads(ask("/v2/models/goods/ready")[1]) == {"name": "goods", "ready": True}

    command(tmp_path, b"disable server taking/here")
    assert {path: ask(path)[0] for path in ready} == dict.fromkeys(ready, 503)
    assert {path: ask(path)[0] for path in live} == dict.fromkeys(live, 200)
    assert ask("/invocations", b"{}")[0] == 200, "a request that comes all the same is answered"

    command(tmp_path, b"enable server taking/here")
    eventually(lambda: ask("/ready")[0] == 200, 20)
    torchserve.state = "UNLOADED"
    eventually(lambda: ask("/live")[0] == 503, 20)
    assert {path: ask(path)[0] for path in ready + live} == dict.fromkeys(ready + live, 503)


def test_a_key_is_wanted_of_requests_and_not_of_probes(door: Callable[..., Ask]) -> None:
    ask = door(API_KEY="secret")

    assert ask("/invocations", b"{}")[0] == 401
    assert ask("/v1/models/goods:predict", b"{}", Authorization="Bearer other")[0] == 401
    assert ask("/invocations", b"{}", Authorization="Bearer secret")[0] == 200
    assert ask("/live")[0] == ask("/ping")[0] == 200


@pytest.mark.parametrize("name", ["AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT"])
def test_a_cloud_says_which_port_it_asks(door: Callable[..., Ask], name: str) -> None:
    assert door(**{name: "{port}"})("/ping")[0] == 200


@pytest.mark.parametrize("path", ["/", "/models", "/models/goods", "/token", "/api-description", "/metrics"])
def test_nothing_else_is_let_through(door: Callable[..., Ask], path: str) -> None:
    assert door()(path)[0] == 404
