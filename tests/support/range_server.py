"""A web server on loopback that serves one file by ranges and misbehaves on request."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class RangeServer(ThreadingHTTPServer):
    """Serves ``content`` at any path.

    Attributes:
        etag: sent, and compared with ``If-Range``; None to send none.
        last_modified: the same, for the date.
        cuts: bytes after which the connection is closed, one for each answer to come.
        failures: status codes to answer instead, one for each answer to come.
        ignores_range: always send the whole file.
        ignores_if_range: send the range asked for even of a file that has changed.
        served: what was sent, in order: ``(status, first byte, bytes sent)``.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.etag: str | None = '"one"'
        self.last_modified: str | None = None
        self.cuts: list[int] = []
        self.failures: list[int] = []
        self.ignores_range = False
        self.ignores_if_range = False
        self.served: list[tuple[int, int, int]] = []

    def url(self, name: str = "abo-listings.tar") -> str:
        return f"http://127.0.0.1:{self.server_port}/archives/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: RangeServer

    def do_GET(self) -> None:
        server, content = self.server, self.server.content
        if server.failures:
            status = server.failures.pop(0)
            server.served.append((status, 0, 0))
            self.send_error(status)
            return
        start = self._start()
        if start is not None and start >= len(content):
            server.served.append((416, start, 0))
            self.send_error(416)
            return
        status = 200 if start is None else 206
        body = content[start or 0 :]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if server.etag is not None:
            self.send_header("ETag", server.etag)
        if server.last_modified is not None:
            self.send_header("Last-Modified", server.last_modified)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        sent = body[: server.cuts.pop(0)] if server.cuts else body
        server.served.append((status, start or 0, len(sent)))
        self.wfile.write(sent)
        self.close_connection = True

    def _start(self) -> int | None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        wished = self.headers.get("If-Range")
        known = (None, self.server.etag, self.server.last_modified)
        if asked is None or self.server.ignores_range:
            return None
        return int(asked[1]) if wished in known or self.server.ignores_if_range else None

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: ``served`` is the log."""


@contextmanager
def serving(content: bytes) -> Iterator[RangeServer]:
    """Run a server on a free port for as long as the block lasts."""
    with RangeServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
