"""Ray Serve beside TorchServe and FastAPI: the same archive, the same texts, in turns, on this machine.

``python scripts/benchmarks/ray_serve_rates.py model_store/pt_classifier.mar --texts titles.txt``: first every text is
asked of each server, alone, and the bytes of the answers are compared; then each server in turn gets the same loads.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response

import marwright
from compare.asking import wait_for_answer
from compare.serving import Server, python_server
from marwright.bench import Load, measure, texts_of_file
from marwright.bench.target import bodies
from marwright.mar.reading import describe
from marwright.server.ports import Ports
from marwright.server.server import serving

CORES = os.cpu_count() or 1
RAY_HOST = """
import os, signal, sys
import ray
from ray import serve
from marwright.fleet.ray_serve import Arguments, app
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
ray.init("local", num_cpus=8, object_store_memory=200e6, include_dashboard=False, log_to_driver=False)
try:
    serve.start(http_options={{"port": {port}}}, logging_config={{"enable_access_log": False}})
    serve.run(app(Arguments.model_validate_json(os.environ["ARGUMENTS"])))
    signal.pause()
finally:
    serve.shutdown()
    ray.shutdown()
"""
FASTER = {
    # HAProxy in place of Ray's proxy in Python: it hands requests to the replicas' own HTTP servers.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
}
Start = Callable[[], AbstractContextManager[str]]


def fastapi_app() -> Any:
    """FastAPI around the Model: one request, one call. ``uvicorn ray_serve_rates:fastapi_app --factory``."""
    app, model = FastAPI(), marwright.load(os.environ["ARCHIVE"])

    @app.post("/predictions/{name}")
    async def predict(name: str, request: Request) -> Response:
        asked = marwright.Request(await request.body(), request.headers.get("content-type", ""))
        answer = model.answer([asked])[0]
        return Response(answer.body, answer.status, media_type=answer.content_type)

    return app


def _python(name: str, folder: Path, arguments: Sequence[str], **environment: str) -> Start:
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    about = {"TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": os.pathsep.join(filter(None, places))} | environment

    @contextmanager
    def start() -> Iterator[str]:
        with python_server(arguments, f"/predictions/{name}", folder, about) as server:
            _wait(server)
            yield server.url

    return start


def _wait(server: Server) -> None:
    wait_for_answer(server, b'{"text": "tea"}')


def hosts(archive: Path, folder: Path) -> dict[str, Start]:
    """How each server is started; it yields the URL to ask."""
    name = describe(archive)["manifest"]["model"]["modelName"]
    arguments = f'{{"archive": "{archive}", "min_replicas": {CORES}, "max_replicas": {CORES}}}'
    uvicorn = ("-m", "uvicorn", "ray_serve_rates:fastapi_app", "--factory", "--port", "{port}")

    @contextmanager
    def torchserve() -> Iterator[str]:
        with (
            tempfile.TemporaryDirectory(prefix="rates-") as state,
            serving(archive.parent, state=Path(state), models=[archive.name], ports=Ports.free()) as server,
        ):
            yield f"{server.inference}/predictions/{name}"

    ray = ("-c", RAY_HOST)
    # Ray's workers run at niceness 15: whatever else runs on the machine would come before them.
    own = {"ARGUMENTS": arguments, "RAY_worker_niceness": "0"}
    return {
        "TorchServe": torchserve,
        "Ray Serve": _python(name, folder / "ray", ray, **own),
        "Ray Serve, HAProxy": _python(name, folder / "haproxy", ray, **own, **FASTER),
        "FastAPI": _python(
            name,
            folder / "fastapi",
            (*uvicorn, "--workers", str(CORES), "--log-level", "warning", "--no-access-log"),
            ARCHIVE=str(archive),
        ),
    }


def answers(url: str, texts: Sequence[str]) -> list[tuple[int, str | None, bytes]]:
    """Status, content type and bytes of the answer to each text, asked one after the other."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    found = []
    for body in bodies(texts):
        connection.request("POST", place.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found.append((answer.status, answer.getheader("content-type"), answer.read()))
    connection.close()
    return found


def main() -> None:
    """Print a table for docs/fleet.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="one a line")
    parser.add_argument("--hosts", default="", help="names, divided by ;")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--clients", default="1,16,32")
    given = parser.parse_args()
    texts, loads = texts_of_file(given.texts), [int(each) for each in given.clients.split(",")]
    with tempfile.TemporaryDirectory(prefix="rates-") as folder:
        known = hosts(given.archive.resolve(), Path(folder))
        chosen = {name: known[name] for name in filter(None, given.hosts.split(";"))} or known
        rates: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
        expected: tuple[str, list[tuple[int, str | None, bytes]]] | None = None
        for number in range(given.rounds):
            for name, start in chosen.items() if number % 2 == 0 else reversed(chosen.items()):
                began = time.perf_counter()
                with start() as url:
                    print(f"round {number + 1}, {name}: answers after {time.perf_counter() - began:.0f} s", flush=True)
                    if number == 0:
                        found = answers(url, texts)
                        expected = expected or (name, found)
                        same = sum(map(tuple.__eq__, found, expected[1]))
                        print(f"  {same} of {len(texts)} answers are those of {expected[0]}, byte for byte", flush=True)
                    for clients in loads:
                        load = Load(clients=clients, duration_s=given.seconds, warm_up_s=2, timeout_s=30)
                        result = measure(url, texts, load)
                        p50, p99 = (result.latency_ms[at] or 0.0 for at in ("p50", "p99"))
                        rates.setdefault((name, clients), []).append((result.achieved_rate, p50, p99))
                        failed = f", {sum(result.failed.values())} failed" if result.failed else ""
                        said = f"{result.achieved_rate:.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
                        print(f"  {clients} clients: {said}{failed}", flush=True)
    print("\n| server | " + " | ".join(f"{clients} clients" for clients in loads) + " |")
    print("|---|" + "---|" * len(loads))
    for name in chosen:
        cells = []
        for clients in loads:
            rate, p50, p99 = (statistics.median(values) for values in zip(*rates[name, clients], strict=True))
            cells.append(f"{rate:,.0f}/s, p50 {p50:.1f}, p99 {p99:.1f} ms")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
