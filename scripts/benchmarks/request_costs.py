"""Where the processor time of a request goes: client, Java, TorchServe's worker, tokenizer, model.

    python scripts/benchmarks/request_costs.py model_store/pt_classifier.mar --config configs/customs.yaml

Serves the archive with one worker, so that Java and the client have a core of their own and a phase's time on the
clock is its processor time; asks it with a number of clients; prints a table of milliseconds per request.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from urllib.parse import quote

import psutil

from marwright.bench import Load, Result, measure, texts_of_archive, texts_of_run
from marwright.config import load_config
from marwright.resources import shipped
from marwright.server.ports import Ports
from marwright.server.server import RunningServer, serving
from marwright.workspace import Run
from program import parser_of, telling_errors

GAUGE = re.compile(r"^Marwright(\w+)\{[^}]*\} (\S+)$", re.MULTILINE)
PHASES = {
    "ParseTime": "handler: requests read and checked",
    "EncodeTime": "handler: tokenizer",
    "ModelTime": "handler: model, softmax, top-k",
    "AnswerTime": "handler: answers written",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("request_costs", __doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--config", type=Path, help="texts: the test split of this configuration's run")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args(arguments)
    with telling_errors("request_costs"):
        if given.config is None:
            texts = texts_of_archive(given.archive)
        else:
            config = load_config(given.config)
            texts = texts_of_run(Run(config.runs / config.name))
        print(table(costs(given.archive, texts, Load(clients=given.clients, duration_s=given.seconds, warm_up_s=0))))


def costs(archive: Path, texts: Sequence[str], load: Load) -> dict[str, float]:
    """Milliseconds of processor time per request, by where they go; the last entry is the texts in a batch."""
    with one_worker(archive) as server:
        url = f"{server.inference}/predictions/{quote(server.models[0], safe='')}"
        measure(url, texts, Load(clients=load.clients, duration_s=8, warm_up_s=0))
        before = processor_seconds(server)
        with sampled(server) as samples:
            result = measure(url, texts, load)
        after = processor_seconds(server)
    return per_request(result, [end - start for start, end in zip(before, after, strict=True)], samples)


def per_request(result: Result, seconds: Sequence[float], samples: dict[str, list[float]]) -> dict[str, float]:
    """Divide what Java and the worker took, and what the handler noted of its batches, among the requests."""
    java, worker = (1000 * each / result.ok for each in seconds)
    batch = mean(samples["BatchTexts"])
    phases = {title: mean(samples[name]) / batch for name, title in PHASES.items()}
    return {
        "client: load generator": result.generator_cpu_ms,
        "Java: HTTP, queue, batches": java,
        "worker: TorchServe's protocol, sockets, logging": worker - sum(phases.values()),
        **phases,
        "texts in a batch": batch,
    }


def table(found: dict[str, float]) -> str:
    rows = list(found.items())
    total = sum(value for _, value in rows[:-1])
    lines = [f"| {name} | {value:.3f} | {value / total:.0%} |" for name, value in rows[:-1]]
    head = ["| where | ms per request | share |", "|---|---:|---:|"]
    return "\n".join([*head, *lines, f"| all | {total:.3f} | |", "", f"{rows[-1][1]:.1f} {rows[-1][0]}"])


def processor_seconds(server: RunningServer) -> tuple[float, float]:
    """Processor time of Java and of its workers so far."""
    java = psutil.Process(server.pid)
    times = [java.cpu_times(), *(child.cpu_times() for child in java.children(recursive=True))]
    return times[0].user + times[0].system, sum(each.user + each.system for each in times[1:])


@contextmanager
def one_worker(archive: Path) -> Iterator[RunningServer]:
    """Serve an archive by marwright's configuration, but with one worker."""
    with tempfile.TemporaryDirectory(prefix="request-costs-") as folder:
        properties = Path(folder) / "config.properties"
        text = (shipped("configs") / "config.properties").read_text(encoding="utf-8")
        metrics = shipped("configs") / "metrics.yaml"
        properties.write_text(f"{text}\ndefault_workers_per_model=1\nmetrics_config={metrics}\n", encoding="utf-8")
        state = Path(folder) / "state"
        with serving(archive.parent, properties, state=state, models=[archive.name], ports=Ports.free()) as server:
            yield server


@contextmanager
def sampled(server: RunningServer) -> Iterator[dict[str, list[float]]]:
    """Collect the handler's gauges about once a second while the block runs."""
    samples: dict[str, list[float]] = defaultdict(list)
    over = threading.Event()

    def collect() -> None:
        while not over.wait(1.0):
            for name, value in GAUGE.findall(server.client.metrics_text() or ""):
                samples[name].append(float(value))

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
