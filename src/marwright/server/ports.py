"""The five ports of a TorchServe, and whether they are free."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import psutil

from marwright.errors import ServerError
from marwright.formats.torchserve_address import DEFAULT_PORT

# Without Unix sockets TorchServe talks to its workers through this many TCP ports at most, from 9000 on.
_WORKER_PORTS = 16
_EVERYWHERE = {"0.0.0.0", "::"}


@dataclass(frozen=True)
class Ports:
    """Where one server listens: HTTP for the first three, gRPC for the other two."""

    inference: int = DEFAULT_PORT["inference_address"]
    management: int = DEFAULT_PORT["management_address"]
    metrics: int = DEFAULT_PORT["metrics_address"]
    grpc_inference: int = DEFAULT_PORT["grpc_inference_port"]
    grpc_management: int = DEFAULT_PORT["grpc_management_port"]

    @classmethod
    def free(cls) -> Ports:
        """Five ports that nobody on this machine listens on at the moment."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(5)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return cls(*(each.getsockname()[1] for each in sockets))


@dataclass(frozen=True)
class Listener:
    """One place a server is about to listen on, and the line of its configuration that says so; gRPC has no scheme."""

    key: str
    host: str
    port: int
    scheme: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}" if self.scheme else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a client on this machine writes it."""
        return str(replace(self, host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)))


def require_free(listeners: Iterable[Listener], *, configured_in: str) -> None:
    """Check that every listener's port can be bound.

    Raises:
        ServerError: a port is taken, named with the process that holds it, given to two listeners, or not for this
            user; or this machine has no such host.
    """
    seen: list[Listener] = []
    for listener in listeners:
        for other in seen:
            if other.port == listener.port and (
                other.host == listener.host or _EVERYWHERE & {other.host, listener.host}
            ):
                raise ServerError(
                    f"{configured_in}: {other.key} and {listener.key} both say port {listener.port}; give each its own."
                )
        if listener.port:
            seen.append(listener)
        if (error := _bind_error(listener.host, listener.port)) is not None:
            raise ServerError(_told(listener, error, configured_in))


def first_worker_port(start: int = 9000) -> int:
    """Return a port, from ``start`` up, that begins a run of free ones for a server's workers."""
    port = start
    while port < 65_000:
        taken = [number for number in range(port, port + _WORKER_PORTS) if _bind_error("127.0.0.1", number)]
        if not taken:
            return port
        port = taken[-1] + 1
    return start


def _bind_error(host: str, port: int) -> OSError | UnicodeError | None:
    """Why nobody can listen there; a host that cannot be a name is a UnicodeError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # A connection that has just been closed does not hold the port; a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as error:
            return error
    return None


def _told(listener: Listener, error: OSError | UnicodeError, configured_in: str) -> str:
    key, host, port = listener.key, listener.host, listener.port
    naming_host = key.replace("_port", "_address")
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"{configured_in}: {naming_host} names the host {host}, which is not found: write 127.0.0.1."
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} is taken{_holder(port)}: "
                f"stop that process, change {key} in {configured_in}, or serve with --free-ports."
            )
        case errno.EADDRNOTAVAIL:
            return (
                f"{configured_in}: {naming_host} names {host}, no address of this machine: "
                f"write 127.0.0.1, or one that it has."
            )
        case errno.EACCES | errno.EPERM:
            return f"{configured_in}: {key} says port {port}, which this user may not use: write one from 1024 on."
    return f"{configured_in}: nobody can listen where {key} says, {host}:{port}: {error.strerror}. Change that line."


def _holder(port: int) -> str:
    """Say who listens on ``port``, as far as this user may know."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            here = connection.laddr and connection.laddr.port == port
            if here and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
