"""The versions of one model on a running server, through TorchServe's management API.

What TorchServe 0.12 does, and what follows from it here:

- registering unpacks a .mar, and with ``synchronous=true`` waits for the workers, in one of the few threads that also
  read requests: until it is done, every client of that thread waits. An unpacked folder without workers is registered
  in milliseconds; the workers are then scaled up in the background.
- a worker that is scaled down or unregistered is killed with the batch it has in hand, whose clients get a 500.
- versions are names: 1.10 is another than 1.1, and /predictions/NAME/1 is not answered by 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from marwright.errors import ServerError
from marwright.server.client import Management

# TorchServe answers an unregistering when the processes of the version have ended.
_UNREGISTERED_WITHIN_S = 130


@dataclass(frozen=True)
class Version:
    """What the server says of one version.

    ``pending`` requests wait in its queue; those that a worker has in hand are not counted anywhere.
    ``response_timeout_s`` is the longest that a worker may have them in hand.
    """

    name: str
    file: str
    workers: int
    ready: int
    pending: int
    response_timeout_s: float
    process_ids: tuple[int, ...]


class Versions:
    """One model's versions on one server."""

    def __init__(self, management: Management, model: str) -> None:
        self._management, self.model = management, model
        self._path = f"/models/{quote(model, safe='')}"

    def all(self) -> list[Version]:
        """Every registered version.

        Raises:
            ServerError: the server does not serve the model, or cannot be asked.
        """
        return [_version(answer) for answer in self._ask("GET", f"{self._path}/all")]

    def default(self) -> Version:
        """The version that ``/predictions/NAME`` is answered by.

        Raises:
            ServerError: the server does not serve the model, or cannot be asked.
        """
        return _version(self._ask("GET", self._path)[0])

    def get(self, version: str) -> Version | None:
        """A version, ``None`` if it is not registered."""
        return next((one for one in self.all() if one.name == version), None)

    def require_registering(self) -> None:
        """Find out whether the server lets models be registered, by asking it to register nothing.

        Raises:
            ServerError: its model API is off, or it does not accept the key.
        """
        status, answer = self._management.ask("POST", "/models")
        if status != 400 or "Token" in str(answer):
            self._accepted("POST", "/models", status, answer)

    def register(self, folder: str) -> None:
        """Register an unpacked archive of the model store, without workers.

        Raises:
            ServerError: the server refuses, for instance because its model API is off.
        """
        self._ask("POST", f"/models?url={quote(folder, safe='')}")

    def scale(self, version: str, workers: int) -> None:
        """Have as many workers started, in the background. Fewer than there are would lose what these have in hand.

        Raises:
            ServerError: the server refuses.
        """
        self._ask("PUT", f"{self._path}/{version}?min_worker={workers}&max_worker={workers}")

    def make_default(self, version: str) -> None:
        """Have ``/predictions/NAME`` answered by this version from now on; what came before stays with the old one.

        Raises:
            ServerError: the server refuses.
        """
        self._ask("PUT", f"{self._path}/{version}/set-default")

    def unregister(self, version: str) -> None:
        """Remove a version and kill its workers, with whatever they have in hand.

        Raises:
            ServerError: the server refuses, for instance because the version is the default one.
        """
        self._ask("DELETE", f"{self._path}/{version}", timeout_s=_UNREGISTERED_WITHIN_S)

    def _ask(self, method: str, path: str, *, timeout_s: float = 30) -> Any:
        status, answer = self._management.ask(method, path, timeout_s=timeout_s)
        return self._accepted(method, path, status, answer)

    def _accepted(self, method: str, path: str, status: int, answer: Any) -> Any:
        if 200 <= status < 300:
            return answer
        said = str(answer.get("message", answer) if isinstance(answer, dict) else answer).strip()
        raise ServerError(f"{method} {self._management.url}{path}: {status}, {said.rstrip('.')}. {_cure(status, said)}")


def _version(answer: dict[str, Any]) -> Version:
    return Version(
        name=answer["modelVersion"],
        file=answer["modelUrl"],
        workers=answer["minWorkers"],
        ready=sum(worker["status"] == "READY" for worker in answer["workers"]),
        pending=answer["jobQueueStatus"]["pendingRequests"],
        response_timeout_s=answer["responseTimeout"],
        process_ids=tuple(worker["pid"] for worker in answer["workers"] if worker["pid"] > 0),
    )


def _cure(status: int, said: str) -> str:
    if "Token" in said:
        return "Give the server's key_file.json with --key-file; if its key has expired, renew it or start the server."
    if status == 405:
        return "The server's model API is off: it must run with configs/rollout.properties, or enable_model_api=true."
    if status == 404:
        return "`GET /models` on the management address shows what it serves."
    return "Its logs say more."
