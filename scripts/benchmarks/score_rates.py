"""How fast is ``marwright score`` beside the bare module, how much memory does it take, and what does its driver cost?

    python scripts/benchmarks/score_rates.py rates  model_store/pt_classifier.mar --texts titles.csv --rows 200000
    python scripts/benchmarks/score_rates.py memory model_store/pt_classifier.mar --texts titles.csv
    python scripts/benchmarks/score_rates.py driver --texts titles.csv [--engine ray] [--rate 1200]

``rates`` takes turns: two processes that do nothing but tokenize and compute, sorted by length, at their best batch
size; then the command with one worker and with two. All start from nothing. ``memory`` adds up the resident sets of
the command's processes. ``driver`` lets workers sleep as long as a block takes, at the rate of 64 workers,
with as many tasks of Ray as these would have.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from pyarrow import csv, parquet

from marwright.fleet.scoring import on_ray
from marwright.fleet.scoring.blocks import Block
from marwright.fleet.scoring.finding import find
from marwright.fleet.scoring.inputs import plan
from marwright.fleet.scoring.local import score_here
from marwright.fleet.scoring.work import Done
from score_under_fire import texts_in, varied, write_table

SIZES = (16, 32, 64, 128)
CORES = 2
WORKERS, STAND_INS = 64, 8


def bare(archive: str, texts: Sequence[str], size: int) -> float:
    """Tokenize and compute, and nothing else; returns seconds without loading."""
    import torch

    from marwright import load

    with load(archive, "cpu", batch_size=size) as model:
        handler = model._answering._model.handler  # type: ignore[attr-defined]
        torch.set_num_threads(1)
        began = time.perf_counter()
        ordered = sorted(texts, key=len)
        for start in range(0, len(ordered), size):
            ids, mask = handler.encoder.encode(ordered[start : start + size])
            with torch.inference_mode():
                handler.runtime.logits(ids, mask)
        return time.perf_counter() - began


def bare_rate(archive: Path, texts: Sequence[str], size: int) -> float:
    """Texts per second of one process for each core, from their start to their end."""
    began = time.perf_counter()
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        parts = [pool.submit(bare, str(archive), texts[at::CORES], size) for at in range(CORES)]
        for part in parts:
            part.result()
    return len(texts) / (time.perf_counter() - began)


def score_rate(archive: Path, table: Path, output: Path, workers: int) -> tuple[float, float]:
    """Rows per second of the command from its start to its end, and the most memory of its processes, in MB."""
    arguments = [archive, "--input", table, "--output", output, "--workers", workers, "--json"]
    command = [sys.executable, "-m", "marwright", "score", *map(str, arguments)]
    began, most = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            most = max(most, _resident(process.pid))
            # Not often: to look for children costs some hundredths of a second, which the workers would miss.
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
        assert process.stdout is not None
        rows = json.load(process.stdout)["rows"]
    return rows / (time.perf_counter() - began), most


def _resident(pid: int) -> float:
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for one in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                total += one.memory_info().rss
    return total / 1e6


def rates(archive: Path, texts: Sequence[str], rows: int, rounds: int, sizes: Sequence[int], folder: Path) -> None:
    """The command beside the bare module."""
    write_table(texts, rows, folder / "titles.parquet")
    asked = varied(texts, rows)
    trial = {size: bare_rate(archive, asked[:20_000], size) for size in sizes}
    best = max(trial, key=lambda size: trial[size])
    print(f"bare module, {CORES} processes, 20,000 texts: {_shown(trial)}; best at {best}", flush=True)
    found: dict[str, list[float]] = {"bare": [], "one worker": [], "two workers": []}
    for turn in range(rounds):
        found["bare"].append(bare_rate(archive, asked, best))
        for name, workers in (("two workers", 2), ("one worker", 1)):
            found[name].append(score_rate(archive, folder / "titles.parquet", folder / f"{turn}-{workers}", workers)[0])
        print(f"round {turn}: {_shown({name: values[-1] for name, values in found.items()})} rows/s", flush=True)
    ratios = [ours / theirs for ours, theirs in zip(found["two workers"], found["bare"], strict=True)]
    each = [two / 2 / one for two, one in zip(found["two workers"], found["one worker"], strict=True)]
    print(f"two workers beside two bare processes: {statistics.median(ratios):.0%}")
    print(f"a worker of two beside one alone: {statistics.median(each):.0%}")


def _shown(values: Mapping[Any, float]) -> str:
    return ", ".join(f"{name}: {value:,.0f}" for name, value in values.items())


def memory(archive: Path, texts: Sequence[str], folder: Path) -> None:
    """The most memory at two sizes of a table."""
    found = {}
    for rows in (200_000, 2_000_000):
        write_table(texts, rows, folder / f"{rows}.parquet")
        rate, found[rows] = score_rate(archive, folder / f"{rows}.parquet", folder / f"out-{rows}", CORES)
        print(f"{rows:,} rows: at most {found[rows]:,.0f} MB, {rate:,.0f} rows/s", flush=True)
    small, large = found.values()
    print(f"ten times the rows: {large / small - 1:+.1%} memory")


@dataclass(frozen=True)
class Sleeping:
    """Work that takes its time and computes nothing."""

    archive: str
    seconds_per_row: float
    device: str = "cpu"

    def __call__(self, block: Block) -> Done:
        time.sleep(self.seconds_per_row * block.span.rows)
        return Done(block.name, block.span.rows, 0)


def driver(texts: Sequence[str], rows: int, engine: str, rate: int, folder: Path) -> None:
    """The driver's share of a core while 64 workers' parts come in."""
    table = folder / "titles.parquet"
    write_table(texts, rows, table)
    csv.write_csv(parquet.read_table(table), table.with_suffix(".csv"))
    (folder / "stand-in.mar").write_bytes(b"")
    tasks_of = on_ray.tasks_of
    on_ray.tasks_of = lambda blocks, _: tasks_of(blocks, WORKERS)
    for kind in ("parquet", "csv"):
        before = time.process_time()
        todo = plan(find([str(table.with_suffix(f".{kind}"))]), ["text"])
        planning = time.process_time() - before
        work = Sleeping(str(folder / "stand-in.mar"), STAND_INS / WORKERS / rate)
        parts = (
            on_ray.score_on_ray(work, todo.blocks, STAND_INS, None)  # type: ignore[arg-type]
            if engine == "ray"
            else score_here(work, todo.blocks, STAND_INS)
        )
        next(parts)
        before = time.process_time()
        done = sum(part.rows for part in parts)
        feeding = time.process_time() - before
        wall = rows / (rate * WORKERS)
        print(
            f"{kind}, {engine}: {rows:,} rows at {rate * WORKERS:,} rows/s take {wall:.1f} s; the driver computes "
            f"{planning:.2f} s before and {feeding:.2f} s meanwhile ({done:,} rows): {(planning + feeding) / wall:.1%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("rates", "memory", "driver"))
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("--texts", type=Path, required=True, help="a csv with a column text")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="batch sizes of the bare module")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--rate", type=int, default=1200, help="rows per second of a worker that is imitated")
    given = parser.parse_args()
    texts = texts_in(given.texts)
    with tempfile.TemporaryDirectory(prefix="score-rates-") as folder:
        if given.what == "rates":
            rates(given.archive.resolve(), texts, given.rows, given.rounds, given.sizes, Path(folder))
        elif given.what == "memory":
            memory(given.archive.resolve(), texts, Path(folder))
        else:
            if given.engine == "ray":
                import ray

                ray.init("local", num_cpus=STAND_INS, object_store_memory=200e6, include_dashboard=False)
            logging.disable(logging.WARNING)
            driver(texts, given.rows, given.engine, given.rate, Path(folder))


if __name__ == "__main__":
    main()
