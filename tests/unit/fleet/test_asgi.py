"""Every path leads to the version that it is for, and says what is wrong in the form of its protocol."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from marwright.errors import RequestError
from marwright.fleet.asgi import VERSION_HEADER, ServingApp, Version
from marwright.model import Answer, Request

TENSORS = b'{"inputs": [{"name": "TEXT"}]}'


def version(name: str, *, ready: bool = True) -> Version:
    async def ask(request: Request) -> Answer:
        asked = {key: str(value) for key, value in request.named().items()}
        return Answer(200, json.dumps(asked).encode(), "application/json", {"X-Client-Request-Id": name})

    async def is_ready() -> bool:
        return ready

    return Version(name, ask, is_ready, ("title", "brand"))


Said = tuple[int, dict[str, str], Any]


def asked(app: ServingApp, path: str, *chunks: bytes, root: str = "", content_type: str = "") -> Said:
    """Status, headers and body of an answer."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "POST",
        "path": root + path,
        "root_path": root,
        "query_string": query.encode(),
        "headers": [(b"content-type", content_type.encode())] if content_type else [],
    }
    parts = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting, sent = iter([*parts, {"type": "http.request"}, {"type": "http.disconnect"}]), []

    async def receive() -> dict[str, Any]:
        return next(waiting)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, body = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    assert found["content-length"] == str(len(body["body"]))
    return start["status"], found, json.loads(body["body"])


@pytest.fixture
def app() -> ServingApp:
    return ServingApp({"goods": [version("1.0"), version("2.0")]}, most_bytes=100)


@pytest.mark.parametrize(
    ("path", "answering"),
    [
        ("/predictions/goods", "1.0"),
        ("/predictions/goods/2.0", "2.0"),
        ("/v1/models/goods:predict", "1.0"),
        ("/invocations", "1.0"),
        ("/v2/models/goods/infer", "1.0"),
        ("/v2/models/goods/versions/2.0/infer", "2.0"),
    ],
)
@pytest.mark.parametrize("root", ["", "/below"])
def test_a_version_answers_and_is_named(app: ServingApp, path: str, answering: str, root: str) -> None:
    status, headers, body = asked(app, path, TENSORS[:9], TENSORS[9:], root=root, content_type="application/json")

    assert status == 200
    assert headers[VERSION_HEADER.lower()] == headers["x-client-request-id"] == answering
    assert body == {"body": str(TENSORS)}


def test_forms_reach_the_version(app: ServingApp) -> None:
    form = "application/x-www-form-urlencoded"

    assert asked(app, "/predictions/goods", b"data=tea&top_k=1", content_type=form)[2] == {
        "data": "b'tea'",
        "top_k": "b'1'",
    }
    assert asked(app, "/predictions/goods", b"--", content_type="multipart/form-data")[0] == 400


@pytest.mark.parametrize(
    ("path", "is_read"),
    [
        ("/predictions/goods", False),
        ("/predictions/goods/2.0", False),
        ("/v1/models/goods:predict", False),
        ("/v2/models/goods/infer", False),
        ("/invocations", True),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_what_stands_in_the_url_counts_where_it_does_in_torchserve(
    app: ServingApp, path: str, is_read: bool, content_type: str
) -> None:
    plain = asked(app, path, b"data=tea", content_type=content_type)[2]

    assert asked(app, f"{path}?top_k=1", b"data=tea", content_type=content_type)[2] == (
        plain | {"top_k": "b'1'"} if is_read else plain
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/ping", {"status": "Healthy"}),
        ("/v1/models", {"models": ["goods"]}),
        ("/v1/models/goods", {"name": "goods", "ready": True}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/goods/ready", {"name": "goods", "ready": True}),
        ("/v2/models/goods/versions/2.0/ready", {"name": "goods", "ready": True}),
    ],
)
def test_a_server_tells_of_itself(app: ServingApp, path: str, said: object) -> None:
    assert asked(app, path)[::2] == (200, said)


def test_what_is_not_ready_says_so() -> None:
    app = ServingApp({"goods": [version("1.0"), version("2.0", ready=False)]})

    assert asked(app, "/ping")[::2] == (503, {"status": "Unhealthy"})
    assert asked(app, "/v1/models/goods")[::2] == (503, {"name": "goods", "ready": False})
    assert asked(app, "/v2/models/goods/versions/2.0/ready")[0] == 503
    assert asked(app, "/v2/models/goods/ready")[0] == 200, "the default version is ready"
    assert asked(app, "/v2/health/live")[0] == 200


def test_metadata_is_of_the_version_that_is_asked_for(app: ServingApp) -> None:
    about = asked(app, "/v2/models/goods/versions/2.0")[2]

    assert about["versions"] == ["2.0"]
    assert [each["name"] for each in about["inputs"]] == ["title", "brand"]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/predictions/wool", 404, "ModelNotFoundException"),
        ("/predictions/goods/3.0", 404, "ModelVersionNotFoundException"),
        ("/v1/models/wool:predict", 404, "ModelNotFoundException"),
        ("/predictions", 404, "ResourceNotFoundException"),
        ("/", 404, "ResourceNotFoundException"),
        ("/predictions/goods/1.0/more", 404, "ResourceNotFoundException"),
    ],
)
def test_what_is_not_there_is_refused_as_torchserve_does(app: ServingApp, path: str, status: int, kind: str) -> None:
    found, _, body = asked(app, path, b"tea")

    assert (found, body["code"], body["type"]) == (status, status, kind)


@pytest.mark.parametrize("path", ["/v2/models/wool/infer", "/v2/models/goods/versions/3/infer", "/v2/nothing"])
def test_v2_has_a_form_of_its_own_for_errors(app: ServingApp, path: str) -> None:
    status, _, body = asked(app, path, TENSORS)

    assert (status, list(body)) == (404, ["error"])


def test_a_request_that_is_too_long_is_refused(app: ServingApp) -> None:
    assert asked(app, "/predictions/goods", b"t" * 60, b"t" * 60)[0] == 413
    assert list(asked(app, "/v2/models/goods/infer", b"t" * 101)[2]) == ["error"]


def test_several_models_have_no_invocations() -> None:
    app = ServingApp({"goods": [version("1.0")], "wool": [version("1.0")]})

    assert asked(app, "/invocations", b"tea")[0] == 404
    assert asked(app, "/predictions/wool", b"tea")[0] == 200


def test_requests_are_divided_by_weight(app: ServingApp) -> None:
    app.split("goods", {"1.0": 90, "2.0": 10})
    answered = Counter(asked(app, "/predictions/goods", b"tea")[1][VERSION_HEADER.lower()] for _ in range(1000))

    # Less often than once in a million times would it be further off.
    assert 50 < answered["2.0"] < 150
    app.split("goods", {"2.0": 1})
    assert asked(app, "/predictions/goods", b"tea")[1][VERSION_HEADER.lower()] == "2.0"
    assert asked(app, "/predictions/goods/1.0", b"tea")[1][VERSION_HEADER.lower()] == "1.0"


@pytest.mark.parametrize("weights", [{"3.0": 1}, {"1.0": -1, "2.0": 2}, {"1.0": 0}, {}])
def test_weights_that_divide_nothing_are_refused(app: ServingApp, weights: dict[str, float]) -> None:
    with pytest.raises(RequestError, match=r"goods: weights .* 1.0, 2.0"):
        app.split("goods", weights)


def test_vertex_names_its_own_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIP_PREDICT_ROUTE", "/v1/endpoints/1/deployedModels/2:predict")
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/v1/endpoints/1/deployedModels/2")
    app = ServingApp({"goods": [version("1.0")]})

    assert asked(app, "/v1/endpoints/1/deployedModels/2:predict", b"tea")[2] == {"body": "b'tea'"}
    assert asked(app, "/v1/endpoints/1/deployedModels/2")[2] == {"status": "Healthy"}


def test_the_application_has_nothing_to_start_or_end(app: ServingApp) -> None:
    waiting, sent = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]), []

    async def receive() -> dict[str, Any]:
        return next(waiting)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
