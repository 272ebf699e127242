"""A server's settings as Java has them, with the line of every key."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from marwright.checks.lint.findings import Settings
from marwright.errors import LintError
from marwright.formats.java_properties import VARIABLE, read_properties
from marwright.formats.lenient_json import read_lenient_json
from marwright.formats.torchserve_launcher import read_as_launcher

HTTP_ADDRESSES = ("inference_address", "management_address", "metrics_address")
GRPC_ADDRESSES = ("grpc_inference_address", "grpc_management_address")
_HOST = re.compile(r"(?:(?P<scheme>\w+)://)?(?P<host>\[[^]]*]|[^:/]*)")


def is_from_environment(value: str) -> bool:
    """Whether TorchServe puts a variable of the environment into a value, ``$$NAME$$``, which no rule can know."""
    return VARIABLE.search(value) is not None


@dataclass(frozen=True)
class ServerSettings(Settings):
    """A server's settings.

    ``values`` are as Java has them: blanks at their end stay. ``launcher`` has what TorchServe's launcher takes from
    the file by itself. ``not_ascii`` are the keys in whose lines other characters stand.
    """

    values: Mapping[str, str]
    launcher: Mapping[str, str] = field(default_factory=dict)
    not_ascii: tuple[str, ...] = ()

    @cached_property
    def known(self) -> dict[str, str]:
        """Those of the values that stand in the file, and not in a variable of the environment."""
        return {key: value for key, value in self.values.items() if not is_from_environment(value)}

    def true(self, key: str, default: str = "false") -> bool:
        """Whether a boolean is true to Java; whatever it does not know is false."""
        return self.values.get(key, default).lower() == "true"

    def either(self, key: str) -> Iterator[str]:
        """What the launcher finds under a key, and what a reader of Java's properties does, if that differs."""
        yield from dict.fromkeys([self.launcher.get(key, ""), self.values.get(key, "").strip()])

    @property
    def asks_for_tokens(self) -> bool:
        """Whether requests need a key, which is TorchServe's default."""
        return not self.true("disable_token_authorization")

    def open_addresses(self) -> Iterator[tuple[str, str]]:
        """The key and scheme of every address that other machines can reach."""
        for key in (*HTTP_ADDRESSES, *GRPC_ADDRESSES):
            value = self.known.get(key, "127.0.0.1").strip()
            match = _HOST.match(value)
            if match and not value.startswith("unix:"):
                host, ip = match["host"], ip_of(match["host"])
                if not ip.is_loopback if ip else host.lower() != "localhost":
                    yield key, (match["scheme"] or "").lower()

    def models(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What ``models`` says, by name and version; a name may have none.

        Raises:
            ValueError: TorchServe cannot read it, or it is not of that shape.
        """
        if "models" not in self.values:
            return {}
        found = read_lenient_json(self.values["models"], maps=2)
        for versions in found.values() if isinstance(found, dict) else [[]]:
            if versions is not None and not (
                isinstance(versions, dict) and all(isinstance(one, dict) for one in versions.values())
            ):
                raise ValueError('expected {"NAME": {"VERSION": {"batchSize": …}}}')
        return {name: versions or {} for name, versions in found.items()}

    def readable_models(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The same, and nothing where it cannot be read: a rule of its own says that."""
        try:
            return self.models()
        except ValueError:
            return {}

    def loaded(self) -> list[tuple[str, str]]:
        """Name and file of every model in ``load_models``; the name is empty where the archive's own counts."""
        entries = (entry.partition("=") for entry in self.values.get("load_models", "").split(",") if entry.strip())
        return [(left.strip(), right.strip()) if is_ else ("", left.strip()) for left, is_, right in entries]


def read_server_settings(file: str, data: bytes, *, cores: int) -> ServerSettings:
    """Parse the bytes of a config.properties, for a machine with so many cores.

    Raises:
        LintError: it is not text, or Java would refuse it.
    """
    try:
        read = read_properties(data)
    except ValueError as error:
        raise LintError(f"{file}: {error}.") from error
    launcher = read_as_launcher(data)
    lines = {key: setting.line for key, setting in launcher.items()} | dict(read.lines)
    values = {key: setting.value for key, setting in launcher.items()}
    return ServerSettings(read.values, lines, read.twice, cores, values, read.not_ascii)


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is written as; ``None`` if it is a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
