"""The one HTTP client, urllib3, and what it asks of TorchServe's three addresses.

The load generator in ``bench`` has a connection of its own, since it measures what a client would add.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import urllib3
from urllib3.exceptions import HTTPError

from marwright.errors import ServerError

# As many threads ask at a time at most; further connections would be closed after one request.
_CONNECTIONS = 64

Purpose = Literal["management", "inference"]


def http_client(timeout_s: float = 30) -> urllib3.PoolManager:
    """Make a client that any thread may use: it keeps connections, tries once, and takes no proxy of the environment.

    ``request`` raises :class:`urllib3.exceptions.HTTPError` where no answer comes; a refusal is an answer.
    """
    return urllib3.PoolManager(maxsize=_CONNECTIONS, retries=False, timeout=timeout_s)


class Refused(ServerError):
    """A server answers, and does not do what it is asked."""


@dataclass(frozen=True, kw_only=True)
class TorchServe:
    """A TorchServe as its clients see it: the addresses of ``/predictions``, ``/models`` and ``/metrics``.

    Each is ``http://HOST:PORT``; ``metrics`` is ``None`` where it is off, ``key_file`` where no keys are asked for.

    Every method raises ``ServerError`` where there is no key and one is asked for; those of the management address also
    if nothing answers there within ``timeout_s`` seconds as TorchServe does.
    """

    inference: str
    management: str
    metrics: str | None
    key_file: Path | None = None
    _http: urllib3.PoolManager = field(default_factory=http_client, init=False, repr=False, compare=False)

    def key_header(self, purpose: Purpose) -> dict[str, str]:
        """The header with the key for one purpose; empty where no key is asked for.

        The file is read anew each time, since TorchServe writes it again when a key is renewed.

        Raises:
            ServerError: the file cannot be read or has no such key. The key itself is never in the message.
        """
        if self.key_file is None:
            return {}
        try:
            keys = json.loads(self.key_file.read_text(encoding="utf-8"))
            return {"Authorization": f"Bearer {keys[purpose]['key']}"}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ServerError(
                f"{self.key_file}: no {purpose} key can be read from it ({type(error).__name__}); "
                f"TorchServe writes this file."
            ) from error

    def predict(self, path: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
        """POST a JSON body to a path of the inference address; return the status, 0 if none came, and the answer."""
        headers = {"Content-Type": "application/json", **self.key_header("inference")}
        try:
            answer = self._http.request("POST", self.inference + path, body=json.dumps(body).encode(), headers=headers)
        except HTTPError:
            return 0, b""
        return answer.status, answer.data

    def metrics_text(self) -> str | None:
        """What ``/metrics`` shows; ``None`` if it does not answer."""
        if self.metrics is None:
            return None
        try:
            with http_client(timeout_s=10) as http:
                return http.request("GET", f"{self.metrics}/metrics").data.decode(errors="replace")
        except HTTPError:
            return None

    def manage(self, method: str, path: str, *, timeout_s: float = 30) -> tuple[int, Any]:
        """Send the management address a request without a body; return the status and the answer's JSON."""
        headers = self.key_header("management")
        try:
            # TorchServe closes a connection after an error without saying so: the next request must not go out on it.
            with http_client(timeout_s) as http:
                answer = http.request(method, self.management + path, headers=headers)
            return answer.status, answer.json()
        except (HTTPError, ValueError) as error:
            raise ServerError(
                f"TorchServe's management address {self.management} does not answer as it should: {error}. "
                f"Is the server running?"
            ) from error

    def accepted(self, method: str, path: str, *, timeout_s: float = 30) -> Any:
        """As :meth:`manage`, but return the JSON alone, of a request that was accepted.

        Raises:
            Refused: the server refuses; the message has a cure.
        """
        status, answer = self.manage(method, path, timeout_s=timeout_s)
        if 200 <= status < 300:
            return answer
        raise self._refusal(method, path, status, answer)

    def models(self, *, timeout_s: float = 30) -> dict[str, str]:
        """The names of the registered models, each with the archive it was registered from."""
        ask, found, page = partial(self.accepted, "GET", timeout_s=timeout_s), dict[str, str](), "0"
        while page:
            listed = ask(f"/models?limit=100&next_page_token={page}")
            try:
                found |= {model["modelName"]: model["modelUrl"] for model in listed["models"]}
                page = listed.get("nextPageToken", "")
            except (KeyError, TypeError, AttributeError) as error:
                raise self.unexpected() from error
        return found

    def require_registering(self) -> None:
        """Find out whether the server lets models be registered, by asking it to register nothing.

        Raises:
            ServerError: its model API is off, or it does not accept the key.
        """
        status, answer = self.manage("POST", "/models")
        if status != 400 or "Token" in str(answer):
            raise self._refusal("POST", "/models", status, answer)

    def unexpected(self) -> ServerError:
        """The error for an answer that is not as TorchServe's are."""
        return ServerError(f"TorchServe's management address {self.management} does not answer as it should.")

    def _refusal(self, method: str, path: str, status: int, answer: Any) -> Refused:
        said = str(answer.get("message", answer) if isinstance(answer, dict) else answer).strip()
        return Refused(f"{method} {self.management}{path}: {status}, {said.rstrip('.')}. {_cure(status, said)}")


def _cure(status: int, said: str) -> str:
    if "Token" in said:
        return "Give the server's key_file.json with --key-file; if its key has expired, renew it or start the server."
    if status == 405:
        return "The server's model API is off: it must run with configs/rollout.properties, or enable_model_api=true."
    if status == 404:
        return "`GET /models` on the management address shows what it serves."
    return "Its logs say more."
