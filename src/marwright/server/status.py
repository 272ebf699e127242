"""What a running server says of itself: its models, their versions and the states of their workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from marwright.errors import ServerError
from marwright.server.client import Management
from marwright.server.state import RunningServer


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


def models_of(server: RunningServer, timeout_s: float = 5) -> list[ModelVersion]:
    """Ask a server for every version of its models.

    Raises:
        ServerError: it does not answer within ``timeout_s`` seconds, or not as TorchServe does.
    """
    manager = Management(server.management, Path(server.key_file) if server.key_file else None)

    def ask(path: str) -> Any:
        status, answer = manager.ask("GET", path, timeout_s=timeout_s)
        if status != 200:
            raise ServerError(f"TorchServe's management address {server.management} answers {path} with {status}.")
        return answer

    found: list[ModelVersion] = []
    try:
        page = "0"
        while page:
            listed = ask(f"/models?limit=100&next_page_token={page}")
            for model in listed["models"]:
                name, path = model["modelName"], f"/models/{quote(model['modelName'], safe='')}"
                default = ask(path)[0]["modelVersion"]
                for one in ask(f"{path}/all"):
                    states = tuple(worker["status"] for worker in one["workers"])
                    found.append(ModelVersion(name, one["modelVersion"], one["modelVersion"] == default, states))
            page = listed.get("nextPageToken", "")
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ServerError(
            f"TorchServe's management address {server.management} does not answer as it should."
        ) from error
    return sorted(found, key=lambda one: (one.model, one.version))
