"""An archive behind Ray Serve answers what it answers behind TorchServe, whatever happens to its replicas."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import psutil
import pytest

import http_load
import marwright
from foreign_archives import changed
from marwright.fleet.protocols import request_of
from marwright.mar import layout
from marwright.mar.reading import describe
from marwright.model import Model
from marwright.server.ports import Ports
from marwright.server.server import serving
from waiting import eventually

# On a machine that is busy Ray does not start within its thirty seconds. It reads this when it is imported.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
ray = pytest.importorskip("ray", reason="needs the ray extra")
serve = pytest.importorskip("ray.serve", reason="needs the ray extra")
from marwright.fleet.ray_serve import Arguments, app  # noqa: E402 (where there is Ray)

pytestmark = pytest.mark.slow
JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=line"
BODIES = [json.dumps({"text": "of the tea " * (1 + at % 7)}).encode() for at in range(8)]
ASKED = [
    (b'{"text": "of the tea", "top_k": 2, "request_id": "r1"}', JSON),
    (b'{"instances": ["tea", {"text": "and"}], "parameters": {"top_k": 1}}', JSON),
    (b'{"text": "tea", "min_confidence": 1}', JSON),
    (b'{"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [2], "data": ["tea", "of"]}]}', JSON),
    (b'{"text": "tea"}', ""),
    (b"of the tea", "text/plain"),
    (b"of the caf\xe9", "text/plain; charset=iso-8859-1"),
    ('{"text": "Käse"}'.encode("utf-16"), JSON),
    (b"data=of+the+tea&top_k=1", FORM),
    (b"data=%7B%22text%22%3A%22tea%22%7D&min_confidence=0.5", FORM),
    (b'{"text": "tea"}', FORM),
    (b'--line\r\nContent-Disposition: form-data; name="data"\r\n\r\nof the tea\r\n--line--\r\n', PARTS),
    (
        b'--line\r\nContent-Disposition: form-data; name="data"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
        b'{"text": "of"}\r\n--line\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n2\r\n--line--\r\n',
        PARTS,
    ),
    (b'{"text": " "}', JSON),
    (b'{"text": "tea", "top_k": 99}', JSON),
    (b"{", JSON),
    (b"\xff", "text/plain"),
    (b"", JSON),
]


class Fleet:
    """Ray with Serve on a port."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._deployed: dict[str, object] = {}

    def deploy(self, **arguments: object) -> None:
        """Deploy archives, unless they are what is deployed: Serve would start every replica anew."""
        if arguments != self._deployed:
            serve.run(app(Arguments.model_validate({"max_replicas": 1} | arguments)))
            self._deployed = arguments


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """One that has nothing yet, on a free port."""
    port = Ports.free().inference
    # By itself Ray would join a cluster that somebody has started on this machine.
    ray.init("local", num_cpus=6, object_store_memory=200e6, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"port": port}, logging_config={"enable_access_log": False})
        yield Fleet(port)
    finally:
        serve.shutdown()
        ray.shutdown()


@pytest.fixture(scope="module")
def model(tiny_archive: Path) -> Iterator[Model]:
    with marwright.load(tiny_archive) as own:
        yield own


@pytest.fixture(scope="module")
def second(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same archive as version 2.0."""
    manifest = describe(tiny_archive)["manifest"]
    manifest["model"]["modelVersion"] = "2.0"
    file = tmp_path_factory.mktemp("second") / "goods.mar"
    return changed(tiny_archive, file, {layout.MANIFEST: json.dumps(manifest).encode()})


def post(url: str, body: bytes, content_type: str) -> tuple[int, bytes, str, str | None]:
    """Status, body, content type and request_id of an answer."""
    # urllib gives a body without a type the type of a form.
    headers = {"Content-Type": content_type or "application/octet-stream"}
    try:
        with urlopen(HttpRequest(url, body, headers), timeout=30) as answer:
            status, read, about = answer.status, answer.read(), answer.headers
    except HTTPError as error:
        status, read, about = error.code, error.read(), error.headers
    return status, read, about["Content-Type"], about["X-Client-Request-Id"]


def split_between(first: Path, second: Path) -> dict[str, object]:
    """A deployment of two versions of goods, and of wool."""
    archives = {"goods": {first: 90, second: 10}, "wool": first}
    return {"archives": archives, "cpus": 0.5, "min_replicas": 2, "max_replicas": 2}


def replicas(name: str) -> list[int]:
    """Process ids of the replicas of a deployment."""
    title = f"ray::ServeReplica:default:{name}"
    return [one.pid for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [""])[0].startswith(title)]


def loaded_through_a_kill(fleet: Fleet, name: str) -> http_load.Load:
    """What clients got while one of a deployment's two replicas was killed, and until another had taken its place."""
    with http_load.load(f"{fleet.url}/predictions/goods", BODIES) as load:
        eventually(lambda: len(load.answers) >= 100 and len(replicas(name)) == 2)
        os.kill(replicas(name)[0], signal.SIGKILL)
        asked = len(load.answers)
        eventually(lambda: len(load.answers) >= asked + 300 and len(replicas(name)) == 2)
    return load


def test_every_form_of_request_gets_the_answer_of_torchserve(
    fleet: Fleet, model: Model, tiny_archive: Path, tmp_path: Path
) -> None:
    fleet.deploy(archive=tiny_archive, min_replicas=2, max_replicas=2)
    found = [post(f"{fleet.url}/predictions/goods", *asked) for asked in ASKED]

    alone = [model.answer([request_of(body, kind or "application/octet-stream")])[0] for body, kind in ASKED]
    assert found == [(a.status, a.body, a.content_type, a.headers.get("X-Client-Request-Id")) for a in alone]
    assert {status for status, _, _, _ in found} == {200, 400}
    with serving(tiny_archive.parent, state=tmp_path, models=[tiny_archive.name], ports=Ports.free()) as server:
        assert [post(f"{server.inference}/predictions/goods", *asked) for asked in ASKED] == found
    assert post(f"{fleet.url}/v1/models/goods:predict", *ASKED[1]) == found[1]
    assert post(f"{fleet.url}/v2/models/goods/infer", *ASKED[3]) == found[3]
    assert post(f"{fleet.url}/invocations", *ASKED[1]) == found[1]
    lines = post(f"{fleet.url}/invocations", b'"tea"\n{"text": "of the tea"}\n', "application/jsonlines")
    together = model.answer([b'{"instances": ["tea", {"text": "of the tea"}]}'])[0].body
    assert [json.loads(line) for line in lines[1].splitlines()] == json.loads(together)["predictions"]
    with urlopen(f"{fleet.url}/ping") as answer:
        assert json.load(answer) == {"status": "Healthy"}


def test_a_replica_that_speaks_http_and_is_killed_takes_only_what_it_had_in_hand(
    fleet: Fleet, tiny_archive: Path
) -> None:
    fleet.deploy(archive=tiny_archive, min_replicas=2, max_replicas=2)
    load = loaded_through_a_kill(fleet, "goods")

    assert load.failures <= 4, "one of each client"


def test_a_new_version_is_deployed_under_load_and_nothing_is_lost(
    fleet: Fleet, tiny_archive: Path, second: Path
) -> None:
    fleet.deploy(archive=tiny_archive, min_replicas=2, max_replicas=2)
    with http_load.load(f"{fleet.url}/predictions/goods", BODIES) as load:
        eventually(lambda: len(load.answers) >= 100)
        fleet.deploy(archive=second, min_replicas=2, max_replicas=2)
        eventually(lambda: all(headers.get("x-marwright-version") == "2.0" for _, _, headers in load.answers[-20:]))
        asked = len(load.answers)
        eventually(lambda: len(load.answers) >= asked + 100)
    versions = [headers.get("x-marwright-version") for _, _, headers in load.answers]

    assert load.failures == 0
    assert set(versions) == {"1.0", "2.0"}
    assert set(versions[-50:]) == {"2.0"}


def test_requests_are_split_by_weight_and_a_version_can_be_asked_for(
    fleet: Fleet, model: Model, tiny_archive: Path, second: Path
) -> None:
    fleet.deploy(**split_between(tiny_archive, second))
    with http_load.load(f"{fleet.url}/predictions/goods", BODIES) as load:
        eventually(lambda: len(load.answers) >= 600)
    versions = Counter(headers["x-marwright-version"] for _, _, headers in load.answers)

    assert load.failures == 0
    # Seven deviations of a binomial distribution.
    asked = versions.total()
    assert abs(versions["2.0"] - asked / 10) < 7 * (asked * 0.09) ** 0.5
    assert post(f"{fleet.url}/predictions/goods/2.0", *ASKED[0])[1] == model.answer([ASKED[0][0]])[0].body
    assert post(f"{fleet.url}/predictions/wool", *ASKED[0])[0] == 200
    with urlopen(f"{fleet.url}/v2/models/goods/versions/2.0/ready") as answer:
        assert json.load(answer)["ready"]


def test_a_replica_behind_the_router_that_is_killed_takes_only_what_it_had_in_hand(
    fleet: Fleet, tiny_archive: Path, second: Path
) -> None:
    fleet.deploy(**split_between(tiny_archive, second))
    load = loaded_through_a_kill(fleet, "goods-1.0")

    assert load.failures <= 4, "one of each client"
    assert {json.loads(body)["code"] for status, body, _ in load.answers if status != 200} <= {503}
