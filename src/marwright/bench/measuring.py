"""From a URL and texts to a result."""

from __future__ import annotations

from collections.abc import Sequence

from marwright.bench.generator import Generator, Observer
from marwright.bench.result import Result, summarized
from marwright.bench.schedule import Load
from marwright.bench.target import Target, bodies
from marwright.errors import MarwrightError


def measure(
    url: str,
    texts: Sequence[str],
    load: Load,
    *,
    instances: int = 1,
    template: str | None = None,
    headers: Sequence[str] = (),
    observer: Observer | None = None,
) -> Result:
    """Measure a server. Everything runs in this thread, which sees no garbage collection meanwhile.

    Args:
        url: where to POST.
        texts: what to send, again and again, ``instances`` of them in one request.
        template: the body for servers that want another one; see :func:`marwright.bench.target.bodies`.
        headers: more headers, each as ``Name: value``.
        observer: called twice a second with the seconds since the start and the record so far.

    Raises:
        ServerError: the server cannot be reached, or answers the first request with an error.
        MarwrightError: the URL, a header or the template cannot be used, or no request was due in the counted time.
    """
    target = Target.parse(url, headers)
    sent = bodies(texts, instances, template)
    address = target.probe(sent[0], load.timeout_s)
    record = Generator(address, [target.encoded(body) for body in sent], load, observer).run()
    if not record.due:
        raise MarwrightError(f"No request was due in the {load.duration_s:g} counted seconds; take more of them.")
    return summarized(record, load, url=url, instances=instances)
