"""Forms that TorchServe cannot decode, more of them than its memory holds."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import psutil
from urllib3.exceptions import HTTPError

from marwright.console.progress import say
from marwright.server.client import http_client
from marwright.server.properties import Properties
from soak.finding import Finding
from soak.served import Served, ask, served

PROMISE = "Forms that TorchServe cannot decode, more of them than its memory holds, cost it neither memory nor answers"
FORM_BYTES = 500_000
_HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}
# A part without a name: Netty's decoder trips over it, and nobody releases the buffers of the request.
_FORM = b"--b\r\nContent-Disposition: form-data\r\n\r\n" + b"a" * FORM_BYTES + b"\r\n--b--\r\n"
_LONG_TEXT = b'{"text": "' + b"tea " * (FORM_BYTES // 4) + b'"}'
# Not the name alone: the server logs the flag -XX:+ExitOnOutOfMemoryError.
_OUT_OF_MEMORY = "java.lang.OutOfMemoryError"


def broken_forms(archive: Path, properties: Path, *, heap_mb: int, forms: int) -> Finding:
    """Send the forms, and then long requests that need room.

    Args:
        archive: a ``.mar`` file.
        properties: TorchServe's configuration.
        heap_mb: Java's heap for this server; as much again is the most it takes beside the heap for buffers.
        forms: of half a megabyte each; together at least one and a half times the heap, or nothing is shown.
    """
    if forms * FORM_BYTES < 1.5e6 * heap_mb:
        raise ValueError(f"{forms} forms are no more than {heap_mb} MB of heap can bear")
    flags = re.sub(r"-Xm[sx]\w+", "", Properties.read(properties).settings.get("vmargs", ""))
    changes = {"vmargs": f"-Xmx{heap_mb}m {flags}", "default_workers_per_model": "1"}
    with served(archive, properties, changes) as server:
        java = psutil.Process(server.server.pid)
        statuses: Counter[int] = Counter()
        for number in range(forms):
            statuses[_sent(server)] += 1
            if (number + 1) % 250 == 0:
                say(f"  {number + 1} of {forms} forms, Java takes {java.memory_info().rss / 1e6:.0f} MB")
        long = [_long_text(server) for _ in range(20)]
        rss_mb = java.memory_info().rss / 1e6
        logged = server.logged()
    broken = []
    if (answered := long.count(200)) < len(long):
        broken.append(f"afterwards only {answered} of {len(long)} long requests are answered: {Counter(long)}")
    if _OUT_OF_MEMORY in logged:
        broken.append("Java ran out of memory")
    figures = {
        "forms": forms,
        "megabytes": round(forms * FORM_BYTES / 1e6),
        "heap_mb": heap_mb,
        "statuses": {str(status or "closed"): count for status, count in statuses.items()},
        "long_requests_answered": answered,
        "frontend_rss_mb": round(rss_mb),
    }
    summary = (
        f"{forms:,} forms of half a megabyte for a heap of {heap_mb} MB; afterwards {answered} of {len(long)} long "
        f"requests are answered and Java takes {rss_mb:.0f} MB"
    )
    return Finding("broken-forms", PROMISE, summary, figures, tuple(broken))


def _sent(server: Served) -> int:
    """The status of a form; 0 if the connection was closed before the answer was read."""
    try:
        with http_client() as client:
            return client.request("POST", server.url, body=_FORM, headers=_HEADERS).status
    except HTTPError:
        return 0


def _long_text(server: Served) -> int:
    try:
        return ask(server.url, _LONG_TEXT)[0]
    except HTTPError:
        return 0
