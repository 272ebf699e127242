"""Reads a TorchServe configuration and writes the one a server really starts with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from marwright.errors import ServerError
from marwright.resources import shipped
from marwright.serving.ports import Listener, Ports

_DEFAULTS = Ports()
_HTTP_KEYS = ("inference_address", "management_address", "metrics_address")
_GRPC_KEYS = ("grpc_inference_port", "grpc_management_port")
_FILE_KEYS = ("metrics_config", "keystore", "certificate_file", "private_key_file")
_ADDRESS = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^]]+]|[^:/]+)(?::(?P<port>\d+))?/?", re.IGNORECASE)
_LOG_CONFIG = re.compile(r"-Dlog4j2?\.configurationFile=(?:file:(?://)?)?(\S+)")


@dataclass(frozen=True)
class Address:
    """Where the server listens for HTTP."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a client on this machine writes it."""
        return f"{self.scheme}://{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"


@dataclass(frozen=True)
class Properties:
    """A TorchServe configuration file: its text as written and its settings as TorchServe reads them."""

    path: Path
    text: str
    settings: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Properties:
        """Read a ``config.properties``; of a key that is given twice the last one counts, as in Java.

        Raises:
            ServerError: there is no such file, or it is not text.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ServerError(f"{path} cannot be read as a TorchServe properties file: {error}.") from error
        lines = (line.strip().partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
        return cls(path, text, {key.strip(): value.strip() for key, is_, value in lines if is_})

    @property
    def asks_for_keys(self) -> bool:
        """Whether requests need a token, which is TorchServe's default."""
        return self.settings.get("disable_token_authorization", "false").lower() != "true"

    @property
    def serves_all(self) -> bool:
        """Whether every archive of the model store is to be loaded."""
        return self.settings.get("load_models", "all").lower() == "all"

    def address(self, key: str, ports: Ports | None = None) -> Address:
        """Return one of the three HTTP addresses, with the port of ``ports`` if given.

        Raises:
            ServerError: it is not written as ``http://HOST:PORT``.
        """
        value = self.settings.get(key, f"http://127.0.0.1:{_port(_DEFAULTS, key)}")
        match = _ADDRESS.fullmatch(value)
        if match is None:
            raise ServerError(f"{self.path}: {key}={value} is not of the form http://HOST:PORT.")
        if key == "management_address" and match["scheme"].lower() != "http":
            raise ServerError(f"{self.path}: {key} must be http://, on loopback; TLS belongs into a proxy.")
        port = _port(ports, key) if ports else int(match["port"] or _port(_DEFAULTS, key))
        return Address(match["scheme"].lower(), match["host"], port)

    def listeners(self, ports: Ports | None) -> list[Listener]:
        """List every place the server will listen on, with ``ports`` instead of the file's if given."""
        found = []
        for key in _HTTP_KEYS:
            address = self.address(key, ports)
            found.append(Listener(key, address.host.strip("[]"), address.port))
        for key in _GRPC_KEYS:
            written = self.settings.get(key, str(_port(_DEFAULTS, key)))
            if not written.isdecimal():
                raise ServerError(f"{self.path}: {key}={written} is not a port number.")
            host = self.settings.get(key.replace("_port", "_address"), "127.0.0.1")
            found.append(Listener(key, host, _port(ports, key) if ports else int(written)))
        return found

    def log_config(self) -> Path:
        """Return the log4j2 file named in ``vmargs``, or marwright's."""
        match = _LOG_CONFIG.search(self.settings.get("vmargs", ""))
        return self._locate("vmargs", match[1]) if match else shipped("configs") / "log4j2.xml"

    def effective(self, *, ports: Ports | None, models: Sequence[str], flags: Sequence[str], worker: int) -> str:
        """Return the text of a file that TorchServe can be started with from any folder.

        Args:
            ports: what to listen on instead of the file's own ports.
            models: names of archive files to load instead of what ``load_models`` says.
            flags: options for Java besides those of ``vmargs``.
            worker: the first TCP port for workers, where the machine has no Unix sockets for them.
        """
        changes = {"load_models": ",".join(models) or self.settings.get("load_models", "all")}
        changes["metrics_config"] = str(shipped("configs") / "metrics.yaml")
        changes |= {key: str(self._locate(key, self.settings[key])) for key in _FILE_KEYS if key in self.settings}
        changes["initial_worker_port"] = str(worker)
        # TorchServe takes the log configuration from its command line.
        words = [word for word in self.settings.get("vmargs", "").split() if not _LOG_CONFIG.fullmatch(word)]
        if words or flags:
            changes["vmargs"] = " ".join([*words, *flags])
        if ports is not None:
            changes |= {key: str(self.address(key, ports)) for key in _HTTP_KEYS}
            changes |= {key: str(_port(ports, key)) for key in _GRPC_KEYS}
        lines = [f"{key}={_escaped(value)}" for key, value in changes.items()]
        # Of a key given twice both of TorchServe's readers take the last.
        return "\n".join([self.text, f"# From here on: written by marwright, over {self.path}", *lines, ""])

    def _locate(self, key: str, value: str) -> Path:
        """Find a file that the configuration names relative to itself, to its project, or to this folder."""
        home = self.path.resolve().parent
        places = [place / value for place in (home, home.parent, Path.cwd())]
        for place in places:
            if place.is_file():
                return place.resolve()
        raise ServerError(f"{self.path}: {key} names {value}, which is neither in {home} nor in {Path.cwd()}.")


def _port(ports: Ports, key: str) -> int:
    port: int = getattr(ports, key.removesuffix("_address").removesuffix("_port"))
    return port


def _escaped(value: str) -> str:
    """Write a value so that Java, which reads these files as Latin-1 with backslash escapes, reads it back."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
