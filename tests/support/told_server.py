"""A server that answers the client of ``marwright.server`` with whatever a test tells it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from marwright.server.client import TorchServe

Told = Callable[[str, str, dict[str, str]], tuple[int, Any]]


connections: list[tuple[str, int]] = []


@contextmanager
def answering(told: Told, key_file: Path | None = None) -> Iterator[TorchServe]:
    """Answer method, path and headers with a status and JSON; break off where the status is 0."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connections.append(self.client_address)
            status, value = told(self.command, self.path, dict(self.headers))
            self.close_connection = self.close_connection or not status
            if status:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    connections.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield TorchServe(inference=address, management=address, metrics=address, key_file=key_file)
        server.shutdown()
