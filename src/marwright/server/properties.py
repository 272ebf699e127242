"""Reads a TorchServe configuration and writes the one a server really starts with."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from marwright.console.progress import say
from marwright.errors import ServerError
from marwright.formats.java_properties import VARIABLE, read_properties, write_properties
from marwright.formats.torchserve_address import DEFAULT_PORT, LARGEST_GRPC_PORT, LARGEST_PORT, WITHOUT_PORT, port_of
from marwright.resources import shipped
from marwright.server.ports import Listener, Ports

_HTTP_KEYS = tuple(WITHOUT_PORT)
_GRPC_KEYS = ("grpc_inference_port", "grpc_management_port")
# What a variable of the environment can change so that a client looks elsewhere.
_LISTENING = (*_HTTP_KEYS, *_GRPC_KEYS, "disable_token_authorization", "enable_metrics_api", "load_models")
LISTENING_VARIABLES = {key: f"TS_{key.upper()}" for key in _LISTENING}
_FILE_KEYS = ("metrics_config", "keystore", "certificate_file", "private_key_file")
_ADDRESS = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^]]+]|[^:/]+)(?::(?P<port>[0-9]+))?/?", re.IGNORECASE)
_LOG_CONFIG = re.compile(r"-Dlog4j2?\.configurationFile=(?:file:(?://)?)?(\S+)")


@dataclass(frozen=True)
class Properties:
    """A TorchServe configuration file.

    ``written`` is what stands there, as Java reads it. ``settings`` is what TorchServe makes of it in an environment:
    ``$$NAME$$`` in a value is the variable NAME; where ``enable_envvars_config`` is true, ``TS_KEY`` replaces ``key``.
    """

    path: Path
    written: Mapping[str, str]
    settings: Mapping[str, str]

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str] = os.environ) -> Properties:
        """Read a ``config.properties``; of a key that is given twice the last one counts, as in Java.

        Raises:
            ServerError: there is no such file, it is not text, or it names a variable that is not set.
        """
        try:
            written = read_properties(path.read_bytes()).values
        except OSError as error:
            raise ServerError(f"{path} cannot be read as a TorchServe properties file: {error.strerror}.") from error
        except ValueError as error:
            raise ServerError(f"{path}: {error}.") from error
        settings = {key: _resolved(path, key, value, environment) for key, value in written.items()}
        if settings.get("enable_envvars_config", "false").lower() == "true":
            settings |= {key: environment[name] for key, name in LISTENING_VARIABLES.items() if name in environment}
        return cls(path, written, settings)

    @classmethod
    def find(cls, name: Path | None) -> Properties:
        """Read what :func:`located` finds.

        Raises:
            ServerError: there is none, or as for :meth:`read`.
        """
        found = located(name)
        if name is not None and found != name and name.suffix:
            say(f"{name} is not here: the one that comes with marwright is used, {found}")
        return cls.read(found)

    @property
    def asks_for_keys(self) -> bool:
        """Whether requests need a token, which is TorchServe's default."""
        return self.settings.get("disable_token_authorization", "false").lower() != "true"

    def loads(self) -> list[str] | None:
        """The archives that ``load_models`` names, as they stand there; ``None`` for all of the model store.

        Raises:
            ServerError: it names none.
        """
        text = self.settings.get("load_models", "all")
        if text.lower() == "all":
            return None
        files = [entry.split("=", 1)[-1] for entry in text.split(",")]
        if not any(files) or text.lower() == "none":
            raise ServerError(
                f"{self.path}: load_models={text} loads no archive: write load_models=all, name archives, "
                f"or serve with --model NAME."
            )
        return [file for file in files if file]

    def model_store(self) -> Path | None:
        """The folder that ``model_store`` names, as a path from here if it is there; ``None`` if it names none."""
        value = self.settings.get("model_store", "").strip()
        home = self.path.resolve().parent
        places = [place / value for place in (Path(), home, home.parent)]
        return next((place for place in places if place.is_dir()), Path(value)) if value else None

    def address(self, key: str, ports: Ports | None = None) -> Listener:
        """Return one of the three HTTP addresses, with the port of ``ports`` if given.

        Raises:
            ServerError: it is not written as ``http://HOST:PORT``, or the port is none.
        """
        value = self.settings.get(key, f"http://127.0.0.1:{DEFAULT_PORT[key]}")
        match = _ADDRESS.fullmatch(value)
        if match is None:
            raise ServerError(f"{self.path}: {key}={value} is not of the form http://HOST:PORT.")
        if key == "management_address" and match["scheme"].lower() != "http":
            raise ServerError(f"{self.path}: {key} must be http://, on loopback; TLS belongs into a proxy.")
        scheme = match["scheme"].lower()
        port = _port(ports, key) if ports else port_of(match["port"] or str(WITHOUT_PORT[key][scheme]))
        if not 0 < port <= LARGEST_PORT:
            raise ServerError(f"{self.path}: {key}={value}: write a port from 1 to {LARGEST_PORT}.")
        return Listener(key, match["host"].strip("[]"), port, scheme)

    def grpc_address(self, which: str, ports: Ports | None = None) -> str | None:
        """Where a client on this machine reaches gRPC's ``inference`` or ``management``: ``HOST:PORT``.

        ``None`` for port 0, which is any free one, and TorchServe does not tell which.
        """
        listener = self._grpc_listener(f"grpc_{which}_port", ports)
        return listener.url if listener.port else None

    def metrics_address(self, ports: Ports | None = None) -> Listener | None:
        """Where the metrics are shown; ``None`` where ``enable_metrics_api`` is off."""
        is_on = self.settings.get("enable_metrics_api", "true").lower() == "true"
        address = self.address("metrics_address", ports)
        return address if is_on else None

    def listeners(self, ports: Ports | None) -> list[Listener]:
        """List every place the server will listen on, with ``ports`` instead of the file's if given.

        TorchServe may answer inference and management at one address, which is then one place.
        """
        inference, management = (self.address(f"{which}_address", ports) for which in ("inference", "management"))
        metrics = self.metrics_address(ports)
        is_one = (management.host, management.port) == (inference.host, inference.port)
        http = [inference] if is_one else [inference, management]
        return [*http, *([metrics] if metrics else []), *(self._grpc_listener(key, ports) for key in _GRPC_KEYS)]

    def _grpc_listener(self, key: str, ports: Ports | None) -> Listener:
        written = self.settings.get(key, str(DEFAULT_PORT[key]))
        if not re.fullmatch(r"\+?[0-9]{1,9}", written) or int(written) > LARGEST_GRPC_PORT:
            raise ServerError(f"{self.path}: {key}={written} is not a port number, 1 to {LARGEST_GRPC_PORT}.")
        host = self.settings.get(key.replace("_port", "_address"), "127.0.0.1").strip("[]")
        return Listener(key, host, _port(ports, key) if ports else int(written))

    def log_config(self) -> Path:
        """Return the log4j2 file named in ``vmargs``, or marwright's."""
        match = _LOG_CONFIG.search(self.settings.get("vmargs", ""))
        return self._locate("vmargs", match[1]) if match else shipped("configs") / "log4j2.xml"

    def effective(self, *, ports: Ports | None, models: Sequence[str], flags: Sequence[str], worker: int) -> str:
        """Return the text of a file that TorchServe can be started with from any folder.

        The ports and the archives named in ``models`` are taken instead of the file's; ``flags`` are options for Java
        besides those of ``vmargs``, and ``worker`` is the first TCP port for workers without Unix sockets.
        """
        changes = {"load_models": self.settings.get("load_models", "all")}
        changes["metrics_config"] = str(shipped("configs") / "metrics.yaml")
        changes |= {key: str(self._locate(key, self.settings[key])) for key in _FILE_KEYS if key in self.settings}
        # The server's environment has no say in these, so that clients look where it listens.
        changes |= {key: self.settings[key] for key in _LISTENING if self.settings.get(key) != self.written.get(key)}
        if models:
            changes["load_models"] = ",".join(models)
        changes["initial_worker_port"] = str(worker)
        # TorchServe takes the log configuration from its command line.
        words = [word for word in self.settings.get("vmargs", "").split() if not _LOG_CONFIG.fullmatch(word)]
        if words or flags:
            changes["vmargs"] = " ".join([*words, *flags])
        if ports is not None:
            changes |= {key: str(self.address(key, ports)) for key in _HTTP_KEYS}
            changes |= {key: str(_port(ports, key)) for key in _GRPC_KEYS}
        head = f"# Written by marwright: the settings of {str(self.path)!a}, and what it changed.\n"
        return head + write_properties({**self.written, **changes})

    def _locate(self, key: str, value: str) -> Path:
        """Find a file that the configuration names relative to itself, to its project, or to this folder."""
        home = self.path.resolve().parent
        places = dict.fromkeys((home, home.parent, Path.cwd()))
        for place in places:
            if (place / value).is_file():
                return (place / value).resolve()
        looked = ", ".join(map(str, places))
        raise ServerError(f"{self.path}: {key} names {value}, a file in none of these folders: {looked}.")


def _port(ports: Ports, key: str) -> int:
    port: int = getattr(ports, key.removesuffix("_address").removesuffix("_port"))
    return port


def located(name: Path | None) -> Path:
    """The properties file of that path, or the shipped one of that name; the one for development if none is given.

    Raises:
        ServerError: there is neither.
    """
    if name is None:
        return shipped("configs") / "config.properties"
    if name.is_file():
        return name
    # A name, or a path such as configs/production.properties outside a checkout, means the copy that was installed. Any
    # other path means what lies there: a server must not start with other settings than those that are named.
    own = shipped("configs") / f"{name.name.removesuffix('.properties')}.properties"
    if name in (Path(own.stem), Path("configs", own.name)) and own.is_file():
        return own
    known = ", ".join(sorted(file.stem for file in shipped("configs").glob("*.properties")))
    raise ServerError(f"{name}: no such properties file. Give a path, or one of the shipped: {known}.")


def _resolved(path: Path, key: str, value: str, environment: Mapping[str, str]) -> str:
    """A value with the environment's variables in it, which TorchServe wants all to be there."""

    def variable(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise ServerError(f"{path}: {key} takes {match[1]} from the environment, where it is not set.")
        return environment[match[1]]

    return VARIABLE.sub(variable, value)
