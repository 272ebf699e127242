"""The versions of models on a running server, through TorchServe's management API.

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

from marwright.server.client import TorchServe

# TorchServe answers an unregistering when the processes of the version have ended.
_UNREGISTERED_WITHIN_S = 130


@dataclass(frozen=True)
class Version:
    """What the server says of one version.

    ``workers`` is how many there should be, ``states`` has those of the workers there are: ``READY`` for one that can
    answer. ``pending`` requests wait in the queue; those that a worker has in hand are not counted anywhere.
    ``response_timeout_s`` is the longest that a worker may have them in hand.
    """

    name: str
    file: str
    workers: int
    states: tuple[str, ...]
    pending: int
    response_timeout_s: float
    process_ids: tuple[int, ...]

    @property
    def ready(self) -> int:
        """How many workers can answer."""
        return self.states.count("READY")

    @property
    def is_whole(self) -> bool:
        """Whether all workers that there should be, and all that there are, can answer."""
        return self.workers <= len(self.states) == self.ready


class Versions:
    """One model's versions on one server. Each call may take ``timeout_s`` seconds.

    Every method raises ``ServerError``: the server cannot be asked, refuses, or does not serve the model.
    """

    def __init__(self, server: TorchServe, model: str, *, timeout_s: float = 30) -> None:
        self.server, self.model, self._timeout_s = server, model, timeout_s
        self._path = f"/models/{quote(model, safe='')}"

    def all(self) -> list[Version]:
        """Every registered version."""
        return self._described(f"{self._path}/all")

    def default(self) -> Version:
        """The version that ``/predictions/NAME`` is answered by."""
        return self._described(self._path)[0]

    def get(self, version: str) -> Version | None:
        """A version, ``None`` if it is not registered."""
        return next((one for one in self.all() if one.name == version), None)

    def register(self, folder: str) -> None:
        """Register an unpacked archive of the model store, without workers."""
        self._ask("POST", f"/models?url={quote(folder, safe='')}")

    def scale(self, version: str, workers: int) -> None:
        """Have as many workers started, in the background. Fewer than there are would lose what these have in hand."""
        self._ask("PUT", f"{self._path}/{version}?min_worker={workers}&max_worker={workers}")

    def make_default(self, version: str) -> None:
        """Have ``/predictions/NAME`` answered by this version from now on; what came before stays with the old one."""
        self._ask("PUT", f"{self._path}/{version}/set-default")

    def unregister(self, version: str) -> None:
        """Remove a version, not the default one, and kill its workers with whatever they have in hand."""
        self.server.accepted("DELETE", f"{self._path}/{version}", timeout_s=_UNREGISTERED_WITHIN_S)

    def _ask(self, method: str, path: str) -> Any:
        return self.server.accepted(method, path, timeout_s=self._timeout_s)

    def _described(self, path: str) -> list[Version]:
        answer = self._ask("GET", path)
        try:
            return [_version(one) for one in (answer[0], *answer[1:])]  # there is always one
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise self.server.unexpected() from error


def _version(answer: dict[str, Any]) -> Version:
    return Version(
        name=answer["modelVersion"],
        file=answer["modelUrl"],
        workers=answer["minWorkers"],
        states=tuple(worker["status"] for worker in answer["workers"]),
        pending=answer["jobQueueStatus"]["pendingRequests"],
        response_timeout_s=answer["responseTimeout"],
        process_ids=tuple(worker["pid"] for worker in answer["workers"] if worker["pid"] > 0),
    )


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model; ``workers`` has their states, ``READY`` for one that can answer."""

    model: str
    version: str
    default: bool
    workers: tuple[str, ...]

    @property
    def ready(self) -> int:
        """How many workers can answer."""
        return self.workers.count("READY")


def models_of(server: TorchServe, timeout_s: float = 5) -> list[ModelVersion]:
    """Ask a server for every version of its models.

    Raises:
        ServerError: it does not answer within ``timeout_s`` seconds, or not as TorchServe does.
    """
    found: list[ModelVersion] = []
    for model in server.models(timeout_s=timeout_s):
        versions = Versions(server, model, timeout_s=timeout_s)
        default = versions.default().name
        found += [ModelVersion(model, one.name, one.name == default, one.states) for one in versions.all()]
    return sorted(found, key=lambda one: (one.model, one.version))
