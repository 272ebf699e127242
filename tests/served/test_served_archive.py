"""The archive behind a real TorchServe."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psutil
import pytest
import torch
import yaml

from command_line import PROJECT
from goods_build import Built
from marwright.archive.station import worker_settings
from marwright.config import ArchiveConfig
from marwright.encoder.families import load_module
from marwright.files import read_json, stable_json
from marwright.mar import layout
from marwright.mar.writing import Contents, Manifest, pack
from marwright.pretrained.tokenization import padded
from marwright.runtimes import jit
from marwright.server.java import bundled_java
from marwright.server.ports import Ports
from marwright.server.server import RunningServer, serving

pytestmark = pytest.mark.slow
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
REQUEST = '{"text": "rice in the husk", "request_id": "test_id"}'
PROPERTIES = PROJECT / "configs" / "config.properties"


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of a POST."""
    try:
        with urlopen(Request(url, body, headers or JSON), timeout=30) as response:
            return response.status, response.read(), dict(response.headers)
    except HTTPError as error:
        return error.code, error.read(), dict(error.headers)


@pytest.fixture(scope="module")
def url(server: RunningServer) -> str:
    return f"{server.inference}/predictions/goods"


def test_curl_gets_five_labels_best_first(url: str) -> None:
    done = subprocess.run(
        ["curl", "-s", "-i", "-X", "POST", url, "-H", "Content-Type: application/json", "-d", REQUEST],
        capture_output=True,
        text=True,
        check=True,
    )
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    assert head.startswith("HTTP/1.1 200")
    assert "content-type: application/json" in head.lower()
    assert "x-client-request-id: test_id" in head.lower()
    answer = json.loads(body)
    assert list(answer.values()) == sorted(answer.values(), reverse=True)
    assert len(answer) == 5
    assert next(iter(answer)) == "Vegetable products"


@pytest.mark.alone
def test_a_batch_of_sixteen_with_one_bad_item_gives_one_400_and_fifteen_right_answers(
    built: Built, tmp_path: Path
) -> None:
    # A long batch delay makes sure that the sixteen requests really are one batch.
    goods = read_json(built.run.exported.golden)[:16]
    store = tmp_path / "model_store"
    store.mkdir()
    _repack(built.archive, store / "goods.mar", {"maxBatchDelay": 2000, "minWorkers": 1, "maxWorkers": 1})
    bodies = [{"text": request["text"]} for request in goods]
    bodies[5] = {"text": 5}  # type: ignore[dict-item]
    with serving(store, PROPERTIES, state=tmp_path / "state", ports=Ports.free()) as own:
        with ThreadPoolExecutor(16) as pool:
            started = time.monotonic()
            target = f"{own.inference}/predictions/goods"
            answers = list(pool.map(lambda body: post(target, json.dumps(body).encode()), bodies))
            seconds = time.monotonic() - started
        metrics = urlopen(f"{own.metrics}/metrics", timeout=10).read().decode()
    assert [status for status, _, _ in answers] == [400 if at == 5 else 200 for at in range(16)]
    assert json.loads(answers[5][1])["message"] == "text must be a string"
    right = [
        next(iter(json.loads(body))) == request["answer"][0]["label"]
        for at, ((_, body, _), request) in enumerate(zip(answers, goods, strict=True))
        if at != 5
    ]
    assert sum(right) == 15
    assert seconds < 1.9, "a full batch must not wait for the delay"
    assert "MarwrightBadItems" in metrics


def _repack(archive: Path, target: Path, settings: dict[str, int]) -> None:
    """Copy an archive with other settings for TorchServe."""
    import zipfile

    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == layout.MODEL_CONFIG:
                data = yaml.safe_dump(yaml.safe_load(data) | settings).encode()
            new.writestr(name, data)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"rice in the husk", {"Content-Type": "text/plain"}),
        (b"rice in the husk", {"Content-Type": "text/plain; charset=utf-8"}),
        (b'{"text": "rice in the husk"}', {"Content-Type": "application/json; charset=utf-8"}),
        (b"data=rice%20in%20the%20husk", {"Content-Type": "application/x-www-form-urlencoded"}),
        (
            b'--b\r\nContent-Disposition: form-data; name="data"\r\n\r\nrice in the husk\r\n--b--\r\n',
            {"Content-Type": "multipart/form-data; boundary=b"},
        ),
        (b'{"text": "rice in the husk"}', {"Content-Type": "application/octet-stream"}),
        (b'\xef\xbb\xbf{"text": "rice in the husk"}', JSON),
        ('{"text": "rice in the husk"}'.encode("utf-16"), {"Content-Type": "application/json; charset=utf-16"}),
        ("rice in the husk".encode("utf-16"), {"Content-Type": "text/plain; charset=utf-16"}),
        (b"data=%7B%22text%22%3A%20%22rice%20in%20the%20husk%22%7D", FORM),
        (
            b'--b\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n'
            b"Content-Type: application/json\r\n\r\n"
            b'{"text": "rice in the husk"}\r\n--b--\r\n',
            {"Content-Type": "multipart/form-data; boundary=b"},
        ),
    ],
    ids=[
        *("plain", "plain-charset", "json-charset", "form", "multipart", "untyped-json"),
        *("json-mark", "json-utf-16", "plain-utf-16", "form-json", "multipart-json"),
    ],
)
def test_every_promised_form_of_request_is_read(url: str, body: bytes, headers: dict[str, str]) -> None:
    status, answer, _ = post(url, body, headers)
    assert status == 200, answer
    assert next(iter(json.loads(answer))) == "Vegetable products"


def test_json_sent_as_a_form_by_curl_d_is_told_which_header_is_missing(url: str) -> None:
    status, answer, _ = post(url, b'{"text": "tea"}', {"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 400
    assert "Content-Type: application/json" in json.loads(answer)["message"]


@pytest.mark.parametrize("path", ["/explanations/goods", "/explanations/goods/1.0", "/v1/models/goods:explain"])
def test_no_prediction_is_given_as_an_explanation(server: RunningServer, path: str) -> None:
    status, answer, _ = post(server.inference + path, REQUEST.encode())
    assert status == 501
    assert json.loads(answer)["type"] == "NotImplemented"


def test_a_description_has_the_limits_and_no_error(server: RunningServer) -> None:
    with urlopen(f"{server.management}/models/goods?customized=true", timeout=30) as response:
        (described,) = json.loads(response.read())
    metadata = described["customizedMetadata"]
    assert (json.loads(metadata) if isinstance(metadata, str) else metadata)["max_instances"] == 64


def test_settings_are_read_where_vertex_has_them(url: str) -> None:
    body = json.dumps({"instances": [{"text": "rice"}, "tractors"], "parameters": {"top_k": 2}}).encode()
    status, answer, _ = post(url, body)
    assert status == 200
    assert [len(labels) for labels in json.loads(answer)["predictions"]] == [2, 2]


def test_many_texts_in_one_request(url: str) -> None:
    body = json.dumps({"instances": [{"text": "rice"}, {"text": "tractors", "top_k": 2}], "top_k": 1}).encode()
    status, answer, _ = post(url, body)
    assert status == 200
    assert [len(labels) for labels in json.loads(answer)["predictions"]] == [1, 2]


@pytest.mark.alone
def test_the_archive_is_ready_within_eight_seconds(built: Built, tmp_path: Path) -> None:
    started = time.monotonic()
    with serving(built.archive.parent, PROPERTIES, state=tmp_path / "state", ports=Ports.free()):
        seconds = time.monotonic() - started
    assert seconds < 8


@pytest.fixture(scope="module")
def vector_url(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the second child class: the student's encoder without its classification head."""

    bert = load_module(built.run.student.checkpoint, "script")
    bert.head = torch.nn.Identity()
    folder = tmp_path_factory.mktemp("vectors")
    example = padded([[101, 102], [101, 2003, 102]], 0)
    jit.save(jit.to_torchscript(bert, example, script=True), folder / "model.pt")
    handler = PROJECT / "tests" / "samples" / "cls_vector_handler" / "cls_vector_handler.py"
    contents = Contents()
    contents.add(layout.CPU_MODULE, folder / "model.pt")
    contents.add(layout.TOKENIZER, built.run.student.tokenizer)
    modules = {"cpu": {"file": layout.CPU_MODULE, "runtime": layout.TORCHSCRIPT}}
    setup = {"threads": 1, "max_instances": 8, "max_characters": 1000, "modules": modules, "warm_up": [{"text": "tea"}]}
    contents.add(layout.SETUP, stable_json(setup))
    contents.add(layout.MODEL_CONFIG, worker_settings(ArchiveConfig(workers=1), on_gpu=False))
    contents.add_handler(handler, [layout.TORCHSCRIPT])
    (folder / "store").mkdir()
    pack(contents, folder / "store" / "vectors.mar", Manifest(name="vectors", version="1.0", handler=handler.name))
    with serving(folder / "store", PROPERTIES, state=folder / "state", ports=Ports.free()) as own:
        yield f"{own.inference}/predictions/vectors"


def test_another_task_is_one_short_child_class(vector_url: str) -> None:
    handler = PROJECT / "tests" / "samples" / "cls_vector_handler" / "cls_vector_handler.py"
    assert len(handler.read_text().splitlines()) <= 30
    status, answer, _ = post(vector_url, b'{"text": "rice in the husk"}')
    assert status == 200, answer
    assert len(json.loads(answer)["vector"]) == 384
    assert post(vector_url, b'{"text": 3}')[0] == 400


@pytest.fixture
def elsewhere(pytestconfig: pytest.Config) -> Path:
    """The Python of an environment with TorchServe and what a handler needs; kept from one day to the next."""
    pins = [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "torchserve", "tokenizers")]
    folder = pytestconfig.cache.mkdir("elsewhere") / f"python{sys.version_info.minor}-{'-'.join(pins)}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, *pins], check=True)
        complete.touch()
    return python


def test_an_unmodified_torchserve_elsewhere_serves_the_archive(built: Built, elsewhere: Path, tmp_path: Path) -> None:
    python = elsewhere
    ports = Ports.free()
    properties = tmp_path / "config.properties"
    properties.write_text(
        f"inference_address=http://127.0.0.1:{ports.inference}\nmanagement_address=http://127.0.0.1:{ports.management}\n"
        f"metrics_address=http://127.0.0.1:{ports.metrics}\ngrpc_inference_port={ports.grpc_inference}\n"
        f"grpc_management_port={ports.grpc_management}\ndisable_token_authorization=true\nload_models=all\n"
    )
    with tempfile.TemporaryDirectory(prefix="ts-") as scratch:  # short: worker sockets lie in it
        environment = {**os.environ, "TMPDIR": scratch, "TEMP": scratch, "LOG_LOCATION": scratch}
        torchserve = [python.parent / "torchserve", "--start", "--foreground", "--ncs"]
        command = [*torchserve, "--model-store", built.archive.parent, "--ts-config", properties]
        java = {} if shutil.which("java") else {"JAVA_HOME": str(bundled_java().home)}
        with (
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen(command, cwd=tmp_path, env=environment | java, stdout=log, stderr=log) as server,
        ):
            try:
                assert _is_ready(f"http://127.0.0.1:{ports.management}/models/goods", server)
                status, answer, _ = post(f"http://127.0.0.1:{ports.inference}/predictions/goods", REQUEST.encode())
            finally:
                for child in psutil.Process(server.pid).children(recursive=True):
                    child.terminate()
                server.terminate()
    assert status == 200
    assert next(iter(json.loads(answer))) == "Vegetable products"


def _is_ready(url: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(URLError), urlopen(url, timeout=5) as response:
            if {worker["status"] for worker in json.loads(response.read())[0]["workers"]} == {"READY"}:
                return True
        time.sleep(0.1)
    return False
