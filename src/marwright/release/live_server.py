"""The server that a rollout changes: where it listens, where its archives lie, and who may ask it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from marwright.errors import ServerError
from marwright.server import running
from marwright.server.client import TorchServe
from marwright.server.ports import Ports


@dataclass(frozen=True, kw_only=True)
class LiveServer(TorchServe):
    """A running TorchServe with the model store it was started with and its logs, as far as this process sees them."""

    model_store: Path
    logs: Path | None = None

    @classmethod
    def of_state(cls, state: Path) -> LiveServer:
        """The server that ``marwright serve`` started with this state folder.

        Raises:
            ServerError: none runs from it.
        """
        server = running(state)
        if server is None:
            raise ServerError(
                f"No server runs from {state}: start it with `marwright serve`, or name it: --management."
            )
        if server.model_store is None:
            raise ServerError(
                f"{state} does not say which model store its server has: start the server anew, or name both: "
                f"--management and --model-store."
            )
        return cls(
            inference=server.inference,
            management=server.management,
            metrics=server.metrics,
            key_file=Path(server.key_file) if server.key_file else None,
            model_store=Path(server.model_store),
            logs=Path(server.logs),
        )

    @classmethod
    def at(
        cls,
        management: str,
        model_store: Path,
        *,
        inference: str | None = None,
        metrics: str | None = None,
        key_file: Path | None = None,
    ) -> LiveServer:
        """A server that somebody else started; what is not named is on its usual port of the same host.

        Raises:
            ServerError: an address is not of the form ``http://HOST:PORT``, or the store is no folder.
        """
        host = _checked(management)
        if not model_store.is_dir():
            raise ServerError(f"{model_store}: no such folder; --model-store is the one the server was started with.")
        for address in (inference, metrics):
            _checked(address or management)
        usual = Ports()
        return cls(
            inference=(inference or f"http://{host}:{usual.inference}").rstrip("/"),
            management=management.rstrip("/"),
            metrics=(metrics or f"http://{host}:{usual.metrics}").rstrip("/"),
            key_file=key_file,
            model_store=model_store.resolve(),
        )


def _checked(address: str) -> str:
    """The host of an address, as it stands in a URL."""
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise ServerError(f"{address}: an address of the server is of the form http://HOST:PORT.")
    return f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
