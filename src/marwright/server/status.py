"""What a running server says of itself: its models, their versions and the states of their workers."""

from __future__ import annotations

from dataclasses import dataclass

from marwright.server.client import TorchServe
from marwright.server.versions import Versions


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
