"""An archive in other hosts: TorchServe with an older PyTorch and without marwright, and KServe's model server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import marwright
from conftest import PROJECT
from marwright.server.java import bundled_java
from marwright.server.ports import Ports
from waiting import eventually

pytestmark = pytest.mark.slow
# With torch 2.6.0, torchserve, tokenizers and pyyaml, and without marwright.
CLOUD_PYTHON = os.environ.get("CLOUD_PYTHON", "")
# With kserve, torch and tokenizers.
KSERVE_PYTHON = os.environ.get("KSERVE_PYTHON", "")
TEXTS = ["of the tea", "wool and Käse", "rice"]
INPUT = {"name": "TEXT", "datatype": "BYTES", "shape": [3], "data": TEXTS}


def ask(url: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of a GET, or of a POST if there is a body."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=30) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except HTTPError as error:
        return error.code, json.loads(error.read() or "null")
    except OSError:
        return 0, None


@contextmanager
def running(command: list[str], private: Path, ready: Callable[[], bool], **environment: str) -> Iterator[None]:
    """A server that is ready; it ends with the block, and the processes that it started with it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    log = private / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=private,
            env=inherited | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: process.poll() is not None or ready(), timeout_s=120)
        assert process.poll() is None
        yield
    except AssertionError as error:
        error.add_note(log.read_text(errors="replace")[-4000:])
        raise
    finally:
        # The whole group: TorchServe's launcher leaves Java behind.
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)


@pytest.fixture(scope="module")
def expected(tiny_archive: Path) -> list[dict[str, float]]:
    """What the archive says here of the texts."""
    with marwright.load(tiny_archive) as model:
        answers: list[dict[str, float]] = model(TEXTS, top_k=3)
    return answers


def check_all_bodies(v1: str, v2: str, expected: list[dict[str, float]]) -> None:
    """The bodies of KServe's v1 and v2 and of Vertex AI get the right answers, and bad ones a 400."""
    rows = [[(label, pytest.approx(value, abs=1e-4)) for label, value in row.items()] for row in expected]
    for body in (
        {"instances": [{"text": text} for text in TEXTS], "top_k": 3},
        {"instances": TEXTS, "parameters": {"top_k": 3}},
    ):
        status, answer = ask(v1, body)
        assert status == 200, answer
        assert [list(row.items()) for row in answer["predictions"]] == rows

    status, answer = ask(v2, {"id": "7", "inputs": [INPUT], "parameters": {"top_k": 3}})
    assert status == 200, answer
    assert answer["id"] == "7"
    outputs = {one["name"]: one for one in answer["outputs"]}
    assert outputs["LABEL"]["shape"] == [3, 3]
    pairs = list(zip(outputs["LABEL"]["data"], outputs["PROBABILITY"]["data"], strict=True))
    assert [pairs[at : at + 3] for at in (0, 3, 6)] == rows

    assert ask(v1, {"instances": [{"text": ""}]})[0] == 400
    status, answer = ask(v2, {"inputs": [INPUT | {"shape": [2]}]})
    assert status == 400
    assert "fit its data" in answer["error"]


def test_an_older_pytorch_without_marwright_answers_what_kserve_and_vertex_send(
    tiny_archive: Path, tmp_path: Path, expected: list[dict[str, float]]
) -> None:
    if not CLOUD_PYTHON:
        pytest.skip("set CLOUD_PYTHON to a Python that has torch 2.6.0, torchserve, tokenizers and pyyaml")
    ports = Ports.free()
    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(tiny_archive, store / "goods.mar")
    # The name that Vertex AI looks for.
    shutil.copy(tiny_archive, store / "model.mar")
    (tmp_path / "config.properties").write_text(
        f"inference_address=http://127.0.0.1:{ports.inference}\nmanagement_address=http://127.0.0.1:{ports.management}\n"
        f"metrics_address=http://127.0.0.1:{ports.metrics}\ngrpc_inference_port={ports.grpc_inference}\n"
        f"grpc_management_port={ports.grpc_management}\ndisable_token_authorization=true\n"
        "default_workers_per_model=1\n"
    )
    program = [CLOUD_PYTHON, "-m", "ts.model_server", "--start", "--foreground", "--ncs"]
    where = ["--model-store", str(store), "--ts-config", str(tmp_path / "config.properties")]
    where += ["--models", "goods=goods.mar", "model=model.mar"]
    path = f"{Path(CLOUD_PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    java = bundled_java().home
    about = [f"http://127.0.0.1:{ports.management}/models/{name}" for name in ("goods", "model")]
    logs = tmp_path / "logs"

    def ready() -> bool:
        return all('"READY"' in json.dumps(ask(each)[1]) for each in about)

    with running([*program, *where], tmp_path, ready, PATH=path, JAVA_HOME=str(java), LOG_LOCATION=str(logs)):
        server = f"http://127.0.0.1:{ports.inference}"
        check_all_bodies(f"{server}/v1/models/goods:predict", f"{server}/v2/models/goods/infer", expected)
        check_all_bodies(f"{server}/predictions/model", f"{server}/predictions/model", expected)
        check_all_bodies(f"{server}/invocations?model_name=goods", f"{server}/models/goods/invoke", expected)


def test_kserves_own_server_hosts_the_model(
    tiny_archive: Path, tmp_path: Path, expected: list[dict[str, float]]
) -> None:
    if not KSERVE_PYTHON:
        pytest.skip("set KSERVE_PYTHON to a Python that has kserve, torch and tokenizers")
    port = Ports.free().inference
    host = [KSERVE_PYTHON, str(PROJECT / "tests" / "support" / "kserve_host.py"), "goods", str(tiny_archive), str(port)]
    server = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        return ask(f"{server}/v2/models/goods/ready")[0] == 200

    with running(host, tmp_path, ready, PYTHONPATH=str(PROJECT / "src")):
        assert ask(f"{server}/v1/models/goods") == (200, {"name": "goods", "ready": True})
        assert ask(f"{server}/v2/health/ready")[0] == 200
        check_all_bodies(f"{server}/v1/models/goods:predict", f"{server}/v2/models/goods/infer", expected)
