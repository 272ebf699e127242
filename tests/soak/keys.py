"""Who gets what from a server with the configuration for production: without a key, with a wrong or expired one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from soak.finding import Finding
from soak.served import Served, ask, awaited, served

PROMISE = (
    "With configs/production.properties nobody without a valid key is answered by a model, changes its workers or "
    "version, and nobody at all registers or deletes one"
)
LIFE_MIN = 0.5
"""Minutes that the keys of this server live: long enough for its start and for asking, short enough to see them end."""
_EXPIRES_WITHIN_S = 60
_BODY = b'{"text": "tea"}'
_INSTANCES = b'{"instances": [{"text": "tea"}]}'


@dataclass(frozen=True)
class Endpoint:
    """One way to ask: where, and which key it wants; ``None`` for what answers everybody."""

    method: str
    address: str
    path: str
    body: bytes | None
    key: str | None

    @property
    def name(self) -> str:
        """As a reader writes it."""
        return f"{self.method} {self.path}"


def endpoints(served: Served) -> list[Endpoint]:
    """All that TorchServe 0.12 answers, on its three addresses."""
    model, inference, management = served.model, served.server.inference, served.server.management
    asks = [
        *(("POST", served.path, _BODY), ("POST", f"{served.path}/1.0", _BODY), ("OPTIONS", served.path, None)),
        *(("POST", f"/explanations/{model}", _BODY), ("POST", "/invocations", _BODY), ("GET", "/ping", None)),
        *(("POST", f"/models/{model}/invoke", _BODY), ("POST", f"/v1/models/{model}:predict", _INSTANCES)),
        *(("POST", f"/v2/models/{model}/infer", _BODY), ("GET", f"/v2/models/{model}/ready", None)),
    ]
    changes = [
        *(("GET", "/models", None), ("GET", f"/models/{model}", None), ("GET", "/workflows", None)),
        *(("PUT", f"/models/{model}?min_worker=1", None), ("PUT", f"/models/{model}/1.0/set-default", None)),
        *(("POST", f"/models?url={served.archive.name}&model_name=other", None), ("DELETE", f"/models/{model}", None)),
    ]
    return [
        *(Endpoint(method, inference, path, body, "inference") for method, path, body in asks),
        *(Endpoint(method, management, path, body, "management") for method, path, body in changes),
        *(Endpoint("GET", address, "/api-description", None, None) for address in (inference, management)),
        Endpoint("GET", served.server.metrics, "/metrics", None, None),
    ]


def keys(archive: Path, properties: Path) -> Finding:
    """Serve an archive with keys that live for half a minute, and ask for everything in every way.

    Args:
        archive: a ``.mar`` file.
        properties: the configuration for production.
    """
    with asked_with_keys(archive, properties) as ended:
        return ended()


@contextmanager
def asked_with_keys(archive: Path, properties: Path) -> Iterator[Callable[[], Finding]]:
    """Serve an archive and ask for everything in every way; yield what waits for the end of the keys, and judges."""
    changes = {"token_expiration_min": str(LIFE_MIN), "default_workers_per_model": "1"}
    with served(archive, properties, changes) as server:
        # The start has taken its part of the first keys' life.
        for purpose in ("inference", "management"):
            _renewed(server, purpose)
        old = server.keys()
        found = {each: _statuses(each, old) for each in endpoints(server)}
        workers = server.workers()
        models = json.loads(ask(f"{server.server.management}/models", key=old["management"])[1])["models"]
        yield lambda: _ended(server, old, found, workers, models)


def _ended(
    server: Served,
    old: dict[str, str],
    found: dict[Endpoint, dict[str, int]],
    workers: dict[int, str],
    models: list[dict[str, str]],
) -> Finding:
    """Wait until the keys have ended, renew one, and judge all that was answered."""
    answered = awaited(lambda: ask(server.url, _BODY, key=old["inference"])[0] != 200, _EXPIRES_WITHIN_S, pause_s=0.2)
    expired = ask(server.url, _BODY, key=old["inference"])[0]
    renewed = _renewed(server, "inference")
    new = server.keys()["inference"]
    after = {name: ask(server.url, _BODY, key=key)[0] for name, key in (("old", old["inference"]), ("new", new))}
    broken = judged(found)
    if not workers or [model["modelName"] for model in models] != [server.model]:
        broken.append(f"afterwards the models are {models} and the workers {workers}")
    if answered is None or expired == 200:
        broken.append(f"a key of {LIFE_MIN} minutes still holds after {_EXPIRES_WITHIN_S} s more")
    if (renewed, after["old"] == 200, after["new"]) != (200, False, 200):
        broken.append(
            f"renewed with {renewed}; then the old key is answered with {after['old']}, the new {after['new']}"
        )
    guarded = [each for each in found if each.key]
    figures = {
        "endpoints": {f"{each.name} ({each.key or 'no key'})": statuses for each, statuses in found.items()},
        "expired_key": expired,
        "renewed_key": after,
    }
    summary = (
        f"{len(guarded)} ways to ask: without a key, with a wrong one and with the other address's key 400 each; an "
        f"expired key {expired}, a replaced one {after['old']}, its successor {after['new']}; registering and deleting "
        f"405 even with the management key; only /api-description and /metrics answer without one"
    )
    return Finding("keys", PROMISE, summary, figures, tuple(broken))


def judged(found: dict[Endpoint, dict[str, int]]) -> list[str]:
    """What breaks the promise in the statuses of each way to ask, by the key that was given."""
    broken = []
    for each, statuses in found.items():
        if each.key is None:
            continue
        broken += [
            f"{each.name} is answered with {status} {key}"
            for key, status in statuses.items()
            if key != each.key and status != 400
        ]
        changes = each.method == "DELETE" or (each.method == "POST" and each.key == "management")
        right = statuses[each.key]
        if changes and right != 405:
            broken.append(f"{each.name} is answered with {right} to the management key")
        if each.path.startswith("/predictions") and right != 200:
            broken.append(f"{each.name} is answered with {right} to the right key")
    return broken


def _renewed(served: Served, purpose: str) -> int:
    """The status of renewing a key, which the server then has in its file."""
    return ask(f"{served.server.management}/token?type={purpose}", key=served.keys()["API"])[0]


def _statuses(endpoint: Endpoint, keys: dict[str, str]) -> dict[str, int]:
    given = {
        "without a key": None,
        "with a wrong key": "x" * 8,
        **{name: keys[name] for name in ("inference", "management")},
    }
    url = endpoint.address + endpoint.path
    return {name: ask(url, endpoint.body, key=key, method=endpoint.method)[0] for name, key in given.items()}
