"""Whether a request is lost when two servers behind HAProxy are replaced in turn, under an even load.

    python scripts/benchmarks/behind_a_proxy.py configs/customs.yaml --requests 20000 --rate 200

Needs root, Linux, HAProxy, tini and a finished build. Each server is what `marwright export --container` writes, run
without a container engine; the proxy's configuration is that of its `monitoring/two-servers.cfg`.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from engineless import Container, context_serving, missing
from marwright.bench import Load, Result, measure, texts_of_archive
from marwright.config import Config, load_config
from marwright.errors import MarwrightError
from marwright.fleet.container.context import export_container
from marwright.road.stations import archive_path
from marwright.server.ports import Ports
from program import parser_of, telling_errors

# Networks of the two servers; nobody else's here.
NUMBERS = (201, 202)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("behind_a_proxy", __doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=200)
    given = parser.parse_args(arguments)
    if lacking := missing():
        parser.error(lacking)
    with telling_errors("behind_a_proxy"), tempfile.TemporaryDirectory() as folder:
        config = load_config(given.config)
        print(replaced_in_turn(config, archive_path(config), Path(folder), given.requests, given.rate))


@dataclass
class Seen:
    """What became of the requests, and how long the servers took, in seconds."""

    result: Result
    starts: list[float]
    ends: list[float]

    def __str__(self) -> str:
        latency = {name: value for name, value in self.result.latency_ms.items() if value is not None}
        return (
            f"{self.result.due} requests at {self.result.offered_rate:g}/s: {self.result.ok} answered, "
            f"{self.result.failed or 'none'} lost; p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, "
            f"longest {latency['max']:.0f} ms\n"
            f"a server was ready after {', '.join(f'{each:.1f}' for each in self.starts)} s, and ended "
            f"{', '.join(f'{each:.1f}' for each in self.ends)} s after SIGTERM"
        )


def replaced_in_turn(config: Config, archive: Path, folder: Path, requests: int, rate: float) -> Seen:
    """Send an even load through the proxy; meanwhile end and start one server, and then the other."""
    context = folder / "context"
    export_container(config, archive, context)
    texts = texts_of_archive(archive)
    ends: list[float] = []
    with ExitStack() as stack, ThreadPoolExecutor(1) as asking:
        servers = []
        for number in NUMBERS:
            own = stack.enter_context(ExitStack())
            servers.append((own, _started(own, number, context, config.name, folder)))
        starts = [server.wait_until_ready() for _, server in servers]
        url = stack.enter_context(proxy(context, [server for _, server in servers], folder / "proxy.log"))
        load = Load(rate=rate, duration_s=requests / rate)
        asked = asking.submit(measure, f"{url}/predictions/{config.name}", texts, load)
        time.sleep(5)
        for (own, server), number in zip(servers, NUMBERS, strict=True):
            told = time.monotonic()
            server.terminate()
            server.wait()
            ends.append(time.monotonic() - told)
            own.close()
            starts.append(_started(own, number, context, config.name, folder).wait_until_ready())
            # The other one goes only when the proxy has found this one: two checks of half a second.
            time.sleep(2)
        if asked.done():
            raise MarwrightError("The requests came to an end before both servers were replaced: send more of them.")
        return Seen(asked.result(), starts, ends)


def _started(stack: ExitStack, number: int, context: Path, model: str, folder: Path) -> Container:
    return stack.enter_context(context_serving(number, context, model, folder / f"server-{number}.log"))


@contextmanager
def proxy(context: Path, servers: Sequence[Container], log: Path) -> Iterator[str]:
    """Run HAProxy before two servers; yield its address when it has found both."""
    port = Ports.free().inference
    names = {f"SERVER_{at}": f"{server.address}:8080" for at, server in enumerate(servers, 1)}
    program = ["haproxy", "-db", "-f", context / "monitoring" / "two-servers.cfg"]
    environment = {"PATH": "/usr/sbin:/usr/bin", "PORT": str(port), **names}
    with log.open("wb") as output:
        process = subprocess.Popen(program, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        time.sleep(1.5)  # Two checks.
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
