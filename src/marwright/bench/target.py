"""What is asked: a URL, the requests for it as bytes, and a first request that says whether it answers at all."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as NoAnswer

from marwright import __version__
from marwright.bench.connection import Address
from marwright.errors import MarwrightError, ServerError
from marwright.mar.worker import message_in
from marwright.server.client import http_client

PLACE = "%s"
_LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Target:
    """A URL that takes POST requests with JSON, and the headers it wants besides the usual ones."""

    url: str
    host: str
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, url: str, headers: Sequence[str] = ()) -> Target:
        """Read a URL and headers written as ``Name: value``.

        Raises:
            MarwrightError: it is not an ``http://`` URL, or a header has no colon or a line break.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError as error:
            raise MarwrightError(f"{url}: {error}.") from None
        if parts.scheme != "http" or not parts.hostname:
            raise MarwrightError(f"{url}: only http://HOST:PORT/PATH can be measured.")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not f"{path}{parts.hostname}".isascii() or any(mark.isspace() for mark in path):
            raise MarwrightError(f"{url}: write characters that are not ASCII, and spaces, as %XX.")
        wanted = {}
        for header in headers:
            name, colon, value = header.partition(":")
            if not colon or not name.strip() or "\n" in header or "\r" in header:
                raise MarwrightError(f"--header {header!r}: write it as 'Name: value'.")
            wanted[name.strip()] = value.strip()
        return cls(url, parts.hostname, port, path, wanted)

    def encoded(self, body: bytes) -> bytes:
        """A whole HTTP request with this body."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self._all_headers().items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode("latin-1", errors="replace") + body

    def probe(self, body: bytes, timeout_s: float) -> Address:
        """Send one request the slow way, and return the address that answered it.

        Raises:
            ServerError: nothing answers there within ``timeout_s`` seconds, or it answers with an error.
        """
        try:
            with socket.create_connection((self.host, self.port), timeout_s) as probe:
                address = Address(probe.family, tuple(probe.getpeername()))
            answer = http_client(timeout_s).request("POST", self.url, body=body, headers=self._all_headers())
        except (TimeoutError, NoAnswer):
            raise ServerError(f"{self.url}: no answer to the first request within {timeout_s:g} s.") from None
        except OSError as error:
            raise ServerError(
                f"Nothing can be reached at {self.host}:{self.port} ({error.strerror or error}). "
                f"Start the server first, or give an archive instead of a URL."
            ) from None
        except HTTPError as error:
            raise ServerError(f"{self.url}: what answers there does not speak HTTP/1.1: {error}.") from None
        if not 200 <= answer.status < 300:
            said = " ".join(message_in(answer.data).split())[:_LONGEST_MESSAGE] or "(no text)"
            raise ServerError(f"{self.url} answers the first request with status {answer.status}: {said}")
        return address

    def _all_headers(self) -> dict[str, str]:
        usual = {"Content-Type": "application/json", "Accept": "*/*", "User-Agent": f"marwright/{__version__}"}
        named = {name.lower() for name in self.headers}
        return {name: value for name, value in usual.items() if name.lower() not in named} | dict(self.headers)


def bodies(texts: Sequence[str], instances: int = 1, template: str | None = None) -> list[bytes]:
    """The bodies of requests that together send every text at least once, in the order given.

    Args:
        texts: what to send; at least one.
        instances: texts in one request.
        template: JSON with ``%s`` where the text goes as a JSON string, or with several instances the JSON list of
            texts. By default ``{"text": %s}``, or ``{"instances": [{"text": …}, …]}``.

    Raises:
        MarwrightError: the template has no ``%s``, or is not JSON once a text stands there.
    """
    if template is not None and PLACE not in template:
        raise MarwrightError(f"--body {template}: it has no {PLACE}, where the text goes.")
    values: Sequence[object] = texts
    if template is None:
        template = '{"text": %s}' if instances == 1 else '{"instances": %s}'
        values = texts if instances == 1 else [{"text": text} for text in texts]
    endless = itertools.cycle(values)
    made = []
    for _ in range(-(-len(values) // instances)):
        group = [next(endless) for _ in range(instances)]
        written = json.dumps(group[0] if instances == 1 else group, ensure_ascii=False)
        # A text may hold half of a surrogate pair, which UTF-8 cannot.
        made.append(template.replace(PLACE, written).encode("utf-8", errors="replace"))
    try:
        json.loads(made[0])
    except ValueError as error:
        raise MarwrightError(f"--body {template}: with a text in place of {PLACE} it is not JSON: {error}.") from None
    return made
