"""A small web server, in a process of its own, that answers POST requests well or badly, as their path says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = b'{"tea": 0.9}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + ANSWER
STALL_S = 0.5
STALLS_AT = 60

WELL = {
    "/plain": [PLAIN],
    "/lower-case": [PLAIN.replace(b"Content-Length: ", b"content-length:")],
    "/in-pieces": [PLAIN[at : at + 1] for at in range(len(PLAIN))],
    "/chunked": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n" + ANSWER[:6] + b"\r\n",
        b"6\r\n" + ANSWER[6:],
        b"\r\n0\r\n\r\n",
    ],
    "/after-a-100": [b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN],
    "/without-a-body": [b"HTTP/1.1 204 No Content\r\n\r\n"],
}
CLOSING = {
    "/closes": PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    "/http-1.0": PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "/until-the-end": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + ANSWER,
}
BROKEN = {
    "/cut": PLAIN[:-3],
    "/cut-in-the-head": PLAIN[:20],
    "/nonsense": b"220 mail.example.org ESMTP\r\n",
}
"""What these answer from the second request on; the first, which is a probe, is answered well."""


@contextmanager
def answering() -> Iterator[str]:
    """Run the server and yield its URL, which wants a path."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


_seen: Counter[str] = Counter()


async def _answer(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
    _seen[path] += 1
    number = _seen[path]
    if path in WELL:
        for piece in WELL[path]:
            writer.write(piece)
            await asyncio.sleep(0)  # each in a segment of its own
    elif path in CLOSING or path in BROKEN:
        writer.write(CLOSING[path] if path in CLOSING else PLAIN if number == 1 else BROKEN[path])
        if path in CLOSING or number > 1:
            writer.close()
    elif path == "/stalls":
        if number == STALLS_AT:
            time.sleep(STALL_S)  # the whole server stands still
        writer.write(PLAIN)
    elif path == "/takes-50-ms":
        await asyncio.sleep(0.05)
        writer.write(PLAIN)
    elif path == "/one-in-four":
        _one_in_four(number % 4, writer)
    elif path != "/never":
        message = body.decode() if path == "/echo" else f"Model not found: {path[1:]}"
        told = json.dumps({"message": message}).encode()
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))


def _one_in_four(kind: int, writer: asyncio.StreamWriter) -> None:
    """Answer well, say that it is too much, hang up without a word, or never answer."""
    if kind == 1:
        writer.write(PLAIN)
    elif kind == 2:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    elif kind == 3:
        writer.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
            body = await reader.readexactly(int(fields["content-length"]))
            await _answer(head.split()[1], body, writer)
    except (OSError, asyncio.IncompleteReadError):
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
