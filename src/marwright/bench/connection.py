"""One keep-alive HTTP/1.1 connection that never blocks. Requests are bytes made before; httptools reads the answers.

Everything else asks with urllib3. The load generator does not, since it shares the machine with the server it measures:
a client that builds each request and blocks a thread for each answer takes several times as much of the processor.
"""

from __future__ import annotations

import selectors
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from marwright.bench.generator import Generator

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_BUFFER = 1 << 16


@dataclass(frozen=True)
class Address:
    """Where a server listens, resolved: ``localhost`` may mean either of two addresses."""

    family: socket.AddressFamily
    sockaddr: tuple[str | int, ...]


class Connection:
    """Sends one request at a time, reconnects by itself, and tells its owner what became of each, being free again.

    ``due`` is the moment at which the request under way was due, in seconds; ``None`` while there is none.
    """

    __slots__ = (
        *("_address", "_complete", "_framed", "_headed", "_keep", "_owner", "_parser", "_rest", "_selector", "_socket"),
        "due",
    )

    def __init__(self, address: Address, selector: selectors.BaseSelector, owner: Generator) -> None:
        self._address, self._selector, self._owner = address, selector, owner
        self._socket: socket.socket | None = None
        self._rest = b""  # what the kernel has not taken yet
        self._headed = self._framed = self._complete = self._keep = False
        self.due: float | None = None

    def send(self, request: bytes, due: float) -> None:
        """Send a request, over a new connection if there is none; only while ``due`` is ``None``."""
        self.due = due
        self._headed = self._framed = self._complete = False
        try:
            sent = self._connect() if self._socket is None else self._socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._break()
            return
        if sent < len(request):
            assert self._socket is not None
            self._rest = request[sent:]
            self._selector.modify(self._socket, _READ | _WRITE, self)

    def handle(self, events: int) -> None:
        """Go on with what the selector says is possible."""
        try:
            if events & _WRITE and self._rest:
                self._flush()
            if events & _READ:
                self._receive()
        except BlockingIOError:
            pass
        except (OSError, httptools.HttpParserError):
            self._break()

    def close(self) -> None:
        """Close the connection and give up the request under way; the next one opens another."""
        self.due = None
        self._rest = b""
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    # These three are called by httptools while it reads.

    def on_header(self, name: bytes, _value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_message_complete(self) -> None:
        self._complete = self._parser.get_status_code() >= 200  # after a 1xx the answer is still to come
        self._keep = self._parser.should_keep_alive()

    def _connect(self) -> int:
        """Begin to connect; return the bytes sent so far, which are none."""
        self._parser = httptools.HttpResponseParser(self)
        self._socket = socket.socket(self._address.family, socket.SOCK_STREAM)
        self._selector.register(self._socket, _READ, self)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect_ex(self._address.sockaddr)  # if this fails, so will the first send
        return 0

    def _flush(self) -> None:
        assert self._socket is not None
        self._rest = self._rest[self._socket.send(self._rest) :]
        if not self._rest:
            self._selector.modify(self._socket, _READ, self)

    def _receive(self) -> None:
        if self._socket is None:
            return
        data = self._socket.recv(_BUFFER)
        if data:
            self._parser.feed_data(data)
            if self._complete:
                self._finish(keep=self._keep and not self._rest)
            elif self.due is None:
                self.close()  # nobody asked for this
        elif self.due is None:
            self.close()  # a server may close a connection that is idle
        elif self._headed and not self._framed:
            self._finish(keep=False)  # an answer without a length ends with its connection
        else:
            self._break()

    def _finish(self, *, keep: bool) -> None:
        due, self.due = self.due, None
        self._complete = False
        status = self._parser.get_status_code()
        if not keep or due is None:
            self.close()
        if due is not None:
            self._owner.answered(self, due, status)

    def _break(self) -> None:
        due = self.due
        self.close()
        if due is not None:
            self._owner.broken(self, due)
