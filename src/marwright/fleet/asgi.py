"""An ASGI application that answers the paths of TorchServe, KServe (v1 and v2), Vertex AI and SageMaker.

It is told how each version of a model is asked, and knows nothing of who computes.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from marwright import __version__
from marwright.errors import RequestError
from marwright.fleet.protocols import (
    JSON,
    Exchange,
    infer,
    infer_error,
    invocation,
    model_metadata,
    refusal,
    request_of,
)
from marwright.model import Answer, Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

VERSION_HEADER = "X-Marwright-Version"
"""Says which version has answered."""
MOST_BYTES = 6_553_500
"""Of a request, as in TorchServe."""
VERTEX_PATHS = {"AIP_PREDICT_ROUTE": "/invocations", "AIP_HEALTH_ROUTE": "/ping"}
"""Variables in which Vertex AI names its own paths, and what is to be found there."""


@dataclass(frozen=True)
class Version:
    """A version of a model, and how it is asked."""

    name: str
    ask: Callable[[Request], Awaitable[Answer]]
    is_ready: Callable[[], Awaitable[bool]]
    fields: Sequence[str] = ()
    """Of a text, if the archive takes some."""


class _Refused(Exception):
    """There is an answer without the Model."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.answer = refusal(status, kind, message)


class ServingApp:
    """Finds the version that a request is for, asks it, and sends its answer."""

    def __init__(self, models: Mapping[str, Sequence[Version]], most_bytes: int = MOST_BYTES) -> None:
        """Answer for models.

        Args:
            models: the versions of each; the first one is the default until :meth:`split` says otherwise.
            most_bytes: that a request may have.
        """
        self._models = {name: {version.name: version for version in versions} for name, versions in models.items()}
        self._weights = {name: [1.0] + [0.0] * (len(versions) - 1) for name, versions in models.items()}
        self._most_bytes = most_bytes
        given = {os.environ.get(variable): path for variable, path in VERTEX_PATHS.items()}
        self._aliases = {alias: path for alias, path in given.items() if alias}

    def split(self, name: str, weights: Mapping[str, float]) -> None:
        """Divide the requests for a model that name no version among its versions, by weight.

        Raises:
            RequestError: the model has no such version, a weight is negative, or all are zero.
        """
        versions = self._models.get(name, {})
        found = [weights.get(version, 0.0) for version in versions]
        if not set(weights) <= set(versions) or min(found, default=0) < 0 or sum(found) <= 0:
            known = ", ".join(versions) or "none"
            raise RequestError(f"{name}: weights are positive numbers for its versions, which are {known}")
        self._weights[name] = found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI wants it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        path = self._aliases.get(path, path)
        is_tensors = path.startswith("/v2/")
        try:
            answer = await self._answer(path.strip("/").split("/"), scope, receive)
        except _Refused as error:
            answer = infer_error(error.answer.status, str(error)) if is_tensors else error.answer
        except RequestError as error:
            answer = infer_error(400, str(error)) if is_tensors else refusal(400, "BadRequest", str(error))
        headers = {"content-type": answer.content_type, "content-length": str(len(answer.body))} | answer.headers
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, parts: Sequence[str], scope: Scope, receive: Receive) -> Answer:
        match parts:
            case ["predictions", name] | ["predictions", name, _]:
                return await self._plain(self._chosen(name, parts[2:]), scope, receive)
            case ["v1", "models", target] if target.endswith(":predict"):
                return await self._plain(self._chosen(target.removesuffix(":predict")), scope, receive)
            case ["invocations"]:
                chosen = self._chosen(self._only())
                return await _exchanged(chosen, invocation(*await self._sent(scope, receive)))
            case ["v2", "models", name, "infer"] | ["v2", "models", name, "versions", _, "infer"]:
                chosen = self._chosen(name, parts[4:-1])
                return await _exchanged(chosen, infer((await self._sent(scope, receive))[0]))
        return await self._told(parts)

    async def _told(self, parts: Sequence[str]) -> Answer:
        """What is asked of the server, and not of a model."""
        about: dict[str, Any]
        asked: Iterable[Version] = ()
        match parts:
            case ["ping"]:
                about, asked = {"status": "Healthy"}, self._all()
            case ["v1", "models"]:
                about = {"models": list(self._models)}
            case ["v1", "models", name]:
                about, asked = {"name": name, "ready": True}, self._versions(name).values()
            case ["v2"]:
                about = {"name": "marwright", "version": __version__, "extensions": []}
            case ["v2", "health", "live"]:
                about = {"live": True}
            case ["v2", "health", "ready"]:
                about, asked = {"ready": True}, self._all()
            case ["v2", "models", name, "ready"] | ["v2", "models", name, "versions", _, "ready"]:
                about, asked = {"name": name, "ready": True}, [self._chosen(name, parts[4:-1])]
            case ["v2", "models", name] | ["v2", "models", name, "versions", _]:
                chosen = self._chosen(name, parts[4:])
                about = model_metadata(name, chosen.name, chosen.fields)
            case _:
                raise _Refused(404, "ResourceNotFoundException", "There is nothing at this path.")
        if all([await version.is_ready() for version in asked]):
            return Answer(200, json.dumps(about).encode(), JSON)
        no = {"status": "Unhealthy"} if parts[0] == "ping" else {"ready": False}
        return Answer(503, json.dumps(about | no).encode(), JSON)

    async def _plain(self, version: Version, scope: Scope, receive: Receive) -> Answer:
        # TorchServe drops what stands in the URL of these paths, and hands on that of /invocations.
        body, content_type, _ = await self._sent(scope, receive)
        request = request_of(body, content_type)
        return await _exchanged(version, Exchange(request, lambda answer: answer))

    def _all(self) -> list[Version]:
        return [version for versions in self._models.values() for version in versions.values()]

    def _only(self) -> str:
        name, *others = self._models
        if others:
            raise _Refused(404, "ModelNotFoundException", "There are several models here: ask /predictions/NAME.")
        return name

    def _versions(self, name: str) -> dict[str, Version]:
        if name not in self._models:
            raise _Refused(404, "ModelNotFoundException", f"Model not found: {name}")
        return self._models[name]

    def _chosen(self, name: str, version: Sequence[str] = ()) -> Version:
        """The version that is named, or one by weight."""
        versions = self._versions(name)
        if not version:
            return random.choices(list(versions.values()), self._weights[name])[0]
        if version[0] not in versions:
            raise _Refused(
                404, "ModelVersionNotFoundException", f"Model version: {version[0]} does not exist for model: {name}"
            )
        return versions[version[0]]

    async def _sent(self, scope: Scope, receive: Receive) -> tuple[bytes, str, str]:
        """Body, content type and query of a request."""
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(400, "BadRequest", "The client has gone.")
            chunks.append(message.get("body", b""))
            size, more = size + len(chunks[-1]), message.get("more_body", False)
            if size > self._most_bytes:
                raise _Refused(413, "RequestEntityTooLarge", f"A request may have {self._most_bytes} bytes.")
        content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        return b"".join(chunks), content_type.decode("latin-1"), scope.get("query_string", b"").decode("latin-1")


async def _exchanged(version: Version, exchange: Exchange) -> Answer:
    answer = exchange.reply(await version.ask(exchange.request))
    return Answer(answer.status, answer.body, answer.content_type, answer.headers | {VERSION_HEADER: version.name})


async def _live(receive: Receive, send: Send) -> None:
    """Say that there is nothing to start or to end."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
