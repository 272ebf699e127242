"""Ray Serve beside TorchServe and FastAPI: the same archive, the same texts, in turns, on this machine.

``python scripts/benchmarks/ray_serve_rates.py model_store/pt_classifier.mar --texts titles.txt``: first every text is
asked of each server, alone, and the bytes of the answers are compared; then each server in turn gets the same loads.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

from fastapi import FastAPI, Request, Response

import marwright
from compare.asking import wait_for_answer
from compare.figures import Measured
from compare.rounds import Plan, under_load
from compare.serving import Server, python_server, torchserve
from marwright.bench import texts_of_file
from marwright.bench.target import bodies
from marwright.mar.reading import describe
from marwright.server.client import http_client

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
FIGURES = ("rate", "p50_ms", "p99_ms")
Start = Callable[[], AbstractContextManager[Server]]


def fastapi_app() -> Any:
    """FastAPI around the Model: one request, one call. ``uvicorn ray_serve_rates:fastapi_app --factory``."""
    app, model = FastAPI(), marwright.load(os.environ["ARCHIVE"])

    @app.post("/predictions/{name}")
    async def predict(name: str, request: Request) -> Response:
        asked = marwright.Request(await request.body(), request.headers.get("content-type", ""))
        answer = model.answer([asked])[0]
        return Response(answer.body, answer.status, media_type=answer.content_type)

    return app


def hosts(archive: Path, folder: Path) -> dict[str, Start]:
    path = f"/predictions/{describe(archive)['manifest']['model']['modelName']}"

    def python(name: str, arguments: Sequence[str], **environment: str) -> Start:
        return lambda: python_server(arguments, path, folder / name, environment)

    ray = ("-c", RAY_HOST)
    arguments = f'{{"archive": "{archive}", "min_replicas": {CORES}, "max_replicas": {CORES}}}'
    # Ray's workers run at niceness 15: whatever else runs on the machine would come before them.
    own = {"ARGUMENTS": arguments, "RAY_worker_niceness": "0"}
    uvicorn = ("-m", "uvicorn", "ray_serve_rates:fastapi_app", "--factory", "--port", "{port}")
    quietly = ("--workers", str(CORES), "--log-level", "warning", "--no-access-log")
    return {
        "TorchServe": lambda: torchserve(archive),
        "Ray Serve": python("ray", ray, **own),
        "Ray Serve, HAProxy": python("haproxy", ray, **own, **FASTER),
        "FastAPI": python("fastapi", (*uvicorn, *quietly), ARCHIVE=str(archive)),
    }


def answers(url: str, texts: Sequence[str]) -> list[tuple[int, str | None, bytes]]:
    """Status, content type and bytes of the answer to each text, asked one after the other."""
    with http_client(timeout_s=60) as client:
        header = {"Content-Type": "application/json"}
        found = [client.request("POST", url, body=body, headers=header) for body in bodies(texts)]
    return [(answer.status, answer.headers.get("content-type"), answer.data) for answer in found]


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
    texts, clients = texts_of_file(given.texts), tuple(int(each) for each in given.clients.split(","))
    plan = Plan(given.rounds, given.seconds, clients=clients)
    with tempfile.TemporaryDirectory(prefix="rates-") as folder:
        known = hosts(given.archive.resolve(), Path(folder))
        chosen = {name: known[name] for name in filter(None, given.hosts.split(";"))} or known
        found: dict[tuple[str, int], list[Measured]] = {(name, count): [] for name in chosen for count in clients}
        expected: tuple[str, list[tuple[int, str | None, bytes]]] | None = None
        for number in range(plan.rounds):
            for name, start in chosen.items() if number % 2 == 0 else reversed(chosen.items()):
                began = time.perf_counter()
                with start() as server:
                    wait_for_answer(server, b'{"text": "tea"}')
                    print(f"round {number + 1}, {name}: answers after {time.perf_counter() - began:.0f} s", flush=True)
                    if number == 0:
                        own = answers(server.url, texts)
                        expected = expected or (name, own)
                        same = sum(map(tuple.__eq__, own, expected[1]))
                        print(f"  {same} of {len(texts)} answers are those of {expected[0]}, byte for byte", flush=True)
                    for count in clients:
                        measured = under_load(server.url, texts, count, plan)
                        found[name, count].append(measured)
                        print(f"  {count} clients: {measured.rate:.0f}/s, {measured.latencies}", flush=True)
    print("\n| server | " + " | ".join(f"{count} clients" for count in clients) + " |")
    print("|---|" + "---|" * len(clients))
    for name in chosen:
        cells = []
        for count in clients:
            rate, p50, p99 = (median(getattr(each, key) for each in found[name, count]) for key in FIGURES)
            cells.append(f"{rate:,.0f}/s, p50 {p50:.1f}, p99 {p99:.1f} ms")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
