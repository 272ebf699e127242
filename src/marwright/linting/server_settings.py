"""Reads a config.properties as Java does, with the line of every key."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from marwright.errors import LintError

HTTP_ADDRESSES = ("inference_address", "management_address", "metrics_address")
GRPC_ADDRESSES = ("grpc_inference_address", "grpc_management_address")
# Java's line ends and blanks, which are fewer than Python's.
_LINE_END = re.compile(r"\r\n|\r|\n")
_BLANKS = " \t\f"
_KEY = re.compile(r"(?:\\.|[^\\=: \t\f])*")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_HOST = re.compile(r"(?:(?P<scheme>\w+)://)?(?P<host>\[[^]]*]|[^:/]*)")
# As ConfigManager has it: the variable's name between two pairs.
_VARIABLE = re.compile(r"\$\$[^$]+[^$]\$\$")


def is_from_environment(value: str) -> bool:
    """Whether TorchServe puts a variable of the environment into a value, ``$$NAME$$``, which no rule can know."""
    return _VARIABLE.search(value) is not None


@dataclass(frozen=True)
class ServerSettings:
    """A server's settings, and the machine they are for. Values are as Java has them: blanks at their end stay."""

    values: Mapping[str, str]
    lines: Mapping[str, int] = field(default_factory=dict)
    twice: tuple[str, ...] = ()
    cores: int = 1

    def true(self, key: str) -> bool:
        """Whether a boolean is true to Java; whatever it does not know is false."""
        return self.values.get(key, "false").lower() == "true"

    @property
    def asks_for_tokens(self) -> bool:
        """Whether requests need a key, which is TorchServe's default."""
        return not self.true("disable_token_authorization")

    def open_addresses(self) -> Iterator[tuple[str, str]]:
        """The key and scheme of every address that other machines can reach."""
        for key in (*HTTP_ADDRESSES, *GRPC_ADDRESSES):
            value = self.values.get(key, "127.0.0.1").strip()
            match = None if is_from_environment(value) else _HOST.match(value)
            if match and not value.startswith("unix:") and not _is_loopback(match["host"]):
                yield key, (match["scheme"] or "").lower()

    def models(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What ``models`` says, by name and version.

        Raises:
            ValueError: it is not JSON of that shape.
        """
        found = json.loads(self.values.get("models") or "{}")
        for versions in found.values() if isinstance(found, dict) else [None]:
            if not isinstance(versions, dict) or not all(isinstance(one, dict) for one in versions.values()):
                raise ValueError('expected {"NAME": {"VERSION": {"batchSize": …}}}')
        own: dict[str, dict[str, dict[str, Any]]] = found
        return own

    def loaded(self) -> list[tuple[str, str]]:
        """Name and file of every model in ``load_models``; the name is empty where the archive's own counts."""
        entries = (entry.partition("=") for entry in self.values.get("load_models", "").split(",") if entry.strip())
        return [(left.strip(), right.strip()) if is_ else ("", left.strip()) for left, is_, right in entries]


def read_server_settings(file: str, data: bytes, *, cores: int) -> ServerSettings:
    """Parse a config.properties.

    Args:
        file: named in errors.
        data: its bytes; Java reads them as Latin-1, people write them as UTF-8.
        cores: of the machine that will serve.

    Raises:
        LintError: it is not text.
    """
    if b"\0" in data:
        raise LintError(f"{file}: not a properties file; it has null bytes.")
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    twice = []
    for number, line in _logical_lines(data.decode("utf-8", errors="replace")):
        key, value = _divided(line)
        if key in values:
            twice.append(key)
        values[key], lines[key] = value, number
    return ServerSettings(values, lines, tuple(twice), cores)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, without blanks at their start; a backslash at the end goes on in the next one."""
    first, gathered = 0, ""
    for number, line in enumerate(_LINE_END.split(text), 1):
        rest = line.lstrip(_BLANKS)
        if not gathered and (not rest or rest[0] in "#!"):
            continue
        first = first if gathered else number
        gathered += rest
        if (len(gathered) - len(gathered.rstrip("\\"))) % 2:
            gathered = gathered[:-1]
            continue
        yield first, gathered
        gathered = ""
    if gathered:
        yield first, gathered


def _divided(line: str) -> tuple[str, str]:
    match = _KEY.match(line)
    end = match.end() if match else 0
    rest = line[end:].lstrip(_BLANKS)
    if rest.startswith(("=", ":")):
        rest = rest[1:].lstrip(_BLANKS)
    return _unescaped(line[:end]), _unescaped(rest)


def _unescaped(text: str) -> str:
    """Without backslashes, which stand before any character in files that Java has written."""

    def plain(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2], match[2])

    # Characters beyond 16 bits are written as two escapes.
    return _ESCAPE.sub(plain, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
