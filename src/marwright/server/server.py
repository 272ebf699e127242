"""Starts TorchServe in the background, waits until it can answer, and stops it with all its workers."""

from __future__ import annotations

import dataclasses
import math
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from marwright.errors import ServerError
from marwright.files import write_text
from marwright.processes.interrupts import held, interruptible
from marwright.processes.socket_folder import make_socket_folder
from marwright.server.archives import archives_expected
from marwright.server.failure import StartLog
from marwright.server.identity import ProcessIdentity
from marwright.server.java import Java, find_java
from marwright.server.ports import Ports, first_worker_port, require_free
from marwright.server.process import Launch, end, end_started_with
from marwright.server.properties import Properties
from marwright.server.readiness import require_an_answer, wait_until_ready
from marwright.server.state import (
    DEFAULT_STATE,
    SCRATCH_PREFIX,
    RunningServer,
    alone_in,
    forget,
    recall,
    remember,
    usable,
)


def start(
    model_store: Path,
    properties: Path | None = None,
    *,
    state: Path = DEFAULT_STATE,
    models: Sequence[str] = (),
    ports: Ports | None = None,
    timeout_s: float = 60,
    foreground: bool = False,
    java: Java | None = None,
) -> RunningServer:
    """Start TorchServe and return once every worker of every model is READY.

    Args:
        model_store: the folder with the ``.mar`` files.
        properties: TorchServe's configuration, or the name of one that comes with marwright (``production``); by
            default ``config`` for development.
        state: the folder for this server's state, effective configuration, logs and keys. Servers with
            different state folders and ports do not touch each other. Whoever else starts or stops one there is waited
            for, up to ``timeout_s``.
        models: names of the archives to serve, with or without ``.mar``; by default what ``load_models`` says.
        ports: where to listen instead of the ports in ``properties``.
        timeout_s: how long the start may take, in seconds.
        foreground: show TorchServe's warnings on standard error too, not only in ``logs/console.log``; follow with
            :func:`attend`.
        java: the Java to use; by default the first that works.

    Raises:
        ServerError: no Java, no archive, a port is taken, a server already runs from ``state``, a worker died or does
            not answer, the state folder cannot be used, the time is none or over. Nothing is left running then.
        MarwrightError: there is no temporary folder that can be written.
    """
    state = state.absolute()
    if not 0 < timeout_s < math.inf:
        raise ServerError(f"--timeout must be a positive number of seconds, not {timeout_s:g}.")
    config = Properties.find(properties)
    expected = archives_expected(config, model_store, models)
    java = java or find_java()
    with interruptible(), usable(state), alone_in(state, wait_s=timeout_s):
        if (other := _running(state)) is not None:
            raise ServerError(
                f"TorchServe already runs at {other.inference} (process {other.pid}): "
                f"stop it with `marwright stop --state {state}`."
            )
        require_free(config.listeners(ports), configured_in=str(config.path))
        server = RunningServer(
            pid=0,
            started=time.time(),
            inference=config.address("inference_address", ports).url,
            management=config.address("management_address", ports).url,
            metrics=metrics.url if (metrics := config.metrics_address(ports)) else None,
            grpc_inference=config.grpc_address("inference", ports),
            grpc_management=config.grpc_address("management", ports),
            models=(),
            logs=str(state / "logs"),
            scratch="",
            java=f"{java.program} (version {java.version}, {java.origin})",
            properties=str(config.path),
            key_file=str(state / "key_file.json") if config.asks_for_keys else None,
            model_store=str(model_store.resolve()),
        )
        with ExitStack() as stack:
            with held():
                server = dataclasses.replace(server, scratch=str(make_socket_folder(SCRATCH_PREFIX)))
                stack.enter_context(_nothing_left_on_failure(state, server))
            effective = _prepare(state, config, ports, expected if models else (), java)
            # Written before there is a process, so that a server whose starter is killed can still be found.
            remember(state, server)
            log = StartLog(state / "logs")
            scratch = Path(server.scratch)
            launch = Launch(state, scratch, effective, model_store.resolve(), config.log_config(), java.home)
            pid = launch.run(log, foreground=foreground)
            identity = ProcessIdentity.of(pid)
            if identity is None:
                raise ServerError(f"TorchServe did not start: {log.last_words()} (see {log.logs}).")
            server = dataclasses.replace(server, pid=pid, identity=identity)
            remember(state, server)
            names = wait_until_ready(server, archives=expected, log=log, timeout_s=timeout_s)
            server = dataclasses.replace(server, models=names)
            require_an_answer(server, model_store)
            remember(state, server)
    return server


def running(state: Path = DEFAULT_STATE) -> RunningServer | None:
    """Return the server that runs from ``state``; clear away what one that has died left there.

    Raises:
        ServerError: what the folder remembers makes no sense to this marwright.
    """
    state = state.absolute()
    server = recall(state)
    if server is None or (server.pid and server.is_alive()):
        return server
    # Whoever holds the lock is starting or stopping one, and clears up himself.
    with suppress(ServerError), alone_in(state):
        return _running(state)
    return None


def stop(state: Path = DEFAULT_STATE, *, grace_s: float = 30) -> RunningServer | None:
    """Stop the server that runs from ``state``, with its workers; also one that is not ready yet.

    After ``grace_s`` seconds it is killed. TorchServe takes about four to end by itself; 0 kills it at once.

    Returns:
        The server that ran, or ``None`` if none did.

    Raises:
        ServerError: another marwright is about to start one, or the folder cannot be read.
    """
    state = state.absolute()
    if recall(state) is None:
        return None
    try:
        with alone_in(state):
            server = _running(state)
            if server is not None:
                end(server.pid, grace_s)
                forget(state, server)
            return server
    except ServerError:
        server = recall(state)
        if server is None or not server.pid or not server.is_alive():
            raise
    # Somebody waits for it to be ready, or stops it too, and forgets it.
    end(server.pid, grace_s)
    return server


def attend(server: RunningServer, state: Path = DEFAULT_STATE) -> None:
    """Stay until Ctrl-C or SIGTERM, then stop the server.

    Raises:
        ServerError: the server ended by itself.
    """
    try:
        with interruptible():
            while server.is_alive():
                time.sleep(0.5)
    except KeyboardInterrupt:
        return
    finally:
        # By now the folder may be another server's.
        if (there := recall(state.absolute())) is not None and there.scratch == server.scratch:
            stop(state)
    raise ServerError(f"TorchServe ended by itself (see {server.logs}).")


@contextmanager
def serving(
    model_store: Path,
    properties: Path | None = None,
    *,
    state: Path = DEFAULT_STATE,
    models: Sequence[str] = (),
    ports: Ports | None = None,
    timeout_s: float = 60,
    java: Java | None = None,
    grace_s: float = 30,
) -> Iterator[RunningServer]:
    """Run a server for the length of a ``with`` block; see :func:`start` and :func:`stop`."""
    server = start(model_store, properties, state=state, models=models, ports=ports, timeout_s=timeout_s, java=java)
    try:
        yield server
    finally:
        stop(state, grace_s=grace_s)


def curl_example(server: RunningServer, body: str) -> str:
    """Return a command line that sends the JSON ``body`` to the server's first model."""
    lines = [f"curl {server.inference}/predictions/{server.models[0]}", "-H 'Content-Type: application/json'"]
    if server.key_file is not None:
        lines.append(f'-H "Authorization: Bearer $(jq -r .inference.key {shlex.quote(server.key_file)})"')
    return " \\\n  ".join([*lines, f"-d {shlex.quote(body)}"])


def _running(state: Path) -> RunningServer | None:
    """The same as :func:`running` for whoever holds the folder's lock."""
    server = recall(state)
    if server is not None and not (server.pid and server.is_alive()):
        # Its starter may have been killed before it could note the process.
        end_started_with(server.scratch)
        forget(state, server)
        return None
    return server


@contextmanager
def _nothing_left_on_failure(state: Path, server: RunningServer) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with held():
            noted = recall(state)
            if noted is not None and noted.scratch == server.scratch and noted.pid:
                end(noted.pid, 0)
            end_started_with(server.scratch)
            forget(state, server)
        raise


def _prepare(state: Path, config: Properties, ports: Ports | None, archives: Sequence[str], java: Java) -> Path:
    """Fill the state folder with what the server needs before it starts."""
    (state / "logs").mkdir(parents=True, exist_ok=True)
    # It will hold keys, so it must not get into anyone's repository.
    write_text(state / ".gitignore", "*\n")
    for name in ("key_file.json", "logs/console.log"):
        (state / name).unlink(missing_ok=True)
    effective = state / "config.properties"
    worker = first_worker_port()
    write_text(effective, config.effective(ports=ports, models=archives, flags=java.flags, worker=worker))
    return effective
