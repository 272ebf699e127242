"""Starts TorchServe in the background, waits until it can answer, and stops it with all its workers."""

from __future__ import annotations

import dataclasses
import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zipfile import is_zipfile

from marwright.errors import ServerError
from marwright.files import write_text
from marwright.resources import shipped
from marwright.serving.failure import StartLog
from marwright.serving.java import Java, find_java
from marwright.serving.ports import Ports, first_worker_port, require_free
from marwright.serving.process import Launch, end, interrupt_on_sigterm
from marwright.serving.properties import Properties
from marwright.serving.readiness import wait_until_ready
from marwright.serving.state import DEFAULT_STATE, SCRATCH_PREFIX, RunningServer, forget, recall, remember

# A Unix socket's path holds 108 bytes on Linux and 104 on macOS, of which TorchServe takes "/.ts.sock.65535".
_LONGEST_SCRATCH = 104 - 17


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
        properties: TorchServe's configuration; by default marwright's ``config.properties`` for development.
        state: the folder for this server's state, effective configuration, logs and keys. Servers with
            different state folders and ports do not touch each other.
        models: names of the archives to serve, with or without ``.mar``; by default what ``load_models`` says.
        ports: where to listen instead of the ports in ``properties``.
        timeout_s: how long the start may take, in seconds.
        foreground: show TorchServe's warnings on standard error instead of in ``logs/console.log``; follow
            with :func:`attend`.
        java: the Java to use; by default the first that works.

    Raises:
        ServerError: no Java, no archive, a port is taken, a server already runs from ``state``, a worker died,
            or the time is over. Nothing is left running then.
    """
    if (other := running(state)) is not None:
        raise ServerError(
            f"TorchServe already runs at {other.inference} (process {other.pid}): "
            f"stop it with `marwright stop --state {state}`."
        )
    state = state.absolute()
    archives = _archives(model_store, models)
    config = Properties.read(properties or shipped("configs") / "config.properties")
    java = java or find_java()
    require_free(config.listeners(ports), configured_in=str(config.path))
    scratch = _private_folder()
    with interrupt_on_sigterm(), _nothing_left_on_failure(state, scratch):
        effective = _prepare(state, config, ports, archives if models else (), java)
        log = StartLog(state / "logs")
        launch = Launch(state, scratch, effective, model_store.resolve(), config.log_config(), java.home)
        pid, started = launch.run(log, foreground=foreground)
        server = RunningServer(
            pid=pid,
            started=started,
            inference=config.address("inference_address", ports).url,
            management=config.address("management_address", ports).url,
            metrics=config.address("metrics_address", ports).url,
            models=(),
            logs=str(state / "logs"),
            scratch=str(scratch),
            java=f"{java.program} (version {java.version}, {java.origin})",
            properties=str(config.path),
            key_file=str(state / "key_file.json") if config.asks_for_keys else None,
            model_store=str(model_store.resolve()),
        )
        # Written before the wait, so that a server whose starter is killed can still be stopped.
        remember(state, server)
        expected = archives if models or config.serves_all else ()
        names = wait_until_ready(server, archives=expected, log=log, timeout_s=timeout_s)
        server = dataclasses.replace(server, models=names)
        remember(state, server)
    return server


def running(state: Path = DEFAULT_STATE) -> RunningServer | None:
    """Return the server that runs from ``state``; clear away what one that has died left there."""
    state = state.absolute()
    server = recall(state)
    if server is not None and not server.is_alive():
        forget(state, Path(server.scratch))
        return None
    return server


def stop(state: Path = DEFAULT_STATE, *, grace_s: float = 30) -> RunningServer | None:
    """Stop the server that runs from ``state``, with its workers.

    Args:
        state: the folder it was started with.
        grace_s: how long it may take to end by itself, in seconds, before it is killed. TorchServe takes about
            four; 0 kills it at once.

    Returns:
        The server that ran, or ``None`` if none did.
    """
    server = running(state)
    if server is None:
        return None
    end(server.pid, grace_s)
    forget(state.absolute(), Path(server.scratch))
    return server


def attend(server: RunningServer, state: Path = DEFAULT_STATE) -> None:
    """Stay until Ctrl-C or SIGTERM, then stop the server.

    Raises:
        ServerError: the server ended by itself.
    """
    try:
        with interrupt_on_sigterm():
            while server.is_alive():
                time.sleep(0.5)
    except KeyboardInterrupt:
        return
    finally:
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


@contextmanager
def _nothing_left_on_failure(state: Path, scratch: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop(state, grace_s=0)
        forget(state, scratch)
        raise


def _archives(model_store: Path, models: Sequence[str]) -> list[str]:
    if not model_store.is_dir():
        raise ServerError(f"The model store {model_store} does not exist: build an archive with `make mar`.")
    # TorchServe does not see hidden files either: a rollout keeps other versions there.
    there = sorted(path.name for path in model_store.glob("[!.]*.mar") if path.is_file())
    if not there:
        raise ServerError(f"The model store {model_store} has no archives: build one with `make mar`.")
    wanted = [f"{name.removesuffix('.mar')}.mar" for name in models]
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ServerError(f"{model_store} has no {', '.join(missing)}; it has {', '.join(there)}.")
    chosen = wanted or there
    for name in chosen:
        if not is_zipfile(model_store / name):
            raise ServerError(f"{model_store / name} is not an archive: build it again with `make mar`.")
    return chosen


def _prepare(state: Path, config: Properties, ports: Ports | None, archives: Sequence[str], java: Java) -> Path:
    """Fill the state folder with what the server needs before it starts."""
    (state / "logs").mkdir(parents=True, exist_ok=True)
    # It will hold keys, so it must not get into anyone's repository.
    write_text(state / ".gitignore", "*\n")
    for name in ("key_file.json", "logs/console.log"):
        (state / name).unlink(missing_ok=True)
    effective = state / "config.properties"
    write_text(
        effective,
        config.effective(ports=ports, models=archives, flags=java.flags, worker=first_worker_port()),
    )
    return effective


def _private_folder() -> Path:
    """Make a temporary folder for one server: its sockets, its process id, the archives it unpacks."""
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) + len(SCRATCH_PREFIX) + 9 > _LONGEST_SCRATCH:
        folder = "/tmp"
    return Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=folder))
