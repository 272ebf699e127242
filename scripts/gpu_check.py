"""Checks and times an archive on a GPU, all in one go, for anybody who has one.

    python scripts/gpu_check.py model_store/banking77.mar --config configs/banking77.yaml --serve

- does the GPU's module answer as the student does in float32, and as the CPU's does in int8, from the same file?
- how long does the handler take from texts to JSON: one text of 16 tokens, and 32 mixed ones?
- how long does Hugging Face's own module take, eager and compiled?
- how much memory do the CUDA graphs take?
- with --serve: what a real TorchServe keeps of a promise, and up to which rate.

Without --config there are no test rows, no float32 and no rivals: the archive's golden requests are asked. It needs
marwright, torch and a run of the configuration; nothing is downloaded. --device cpu tries the script where no GPU is.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from gpu.agreement import agreement, logits_of
from gpu.archived import Archived, importable, loaded
from gpu.cards import FORMULA, T4, card_named, t4_estimate
from gpu.operations import operations
from gpu.rates import served
from gpu.rivals import compiled, eager
from gpu.timing import Answer, device_ms, timed
from marwright.archive import layout
from marwright.archive.reading import unpacked
from marwright.bench import texts_of_archive
from marwright.config import Config, load_config
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.errors import ArchiveError, DataError, MarwrightError
from marwright.files import read_json, stable_json, write_text
from marwright.progress import say
from marwright.runtimes import jit
from marwright.stations import model_to_compress
from marwright.workspace import ModelFolder, Run

ALONE_TOKENS = 16
MIXED_TEXTS, MIXED_TOKENS = 32, 32
DEVICE_BATCHES = 10
BYTES_PER_WEIGHT = 2


@dataclass(frozen=True)
class Subject:
    """What is checked, and on what."""

    archive: Path
    folder: Path
    device: torch.device
    texts: Sequence[str]
    run: Run | None
    student: ModelFolder | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, print and write what was found."""
    given = parser().parse_args(arguments)
    try:
        device = _device(given.device)
        config = None if given.config is None else load_config(given.config)
        found = check(given, device, config)
        show(found)
        say(f"{given.output} is written")
    except MarwrightError as error:
        say(f"gpu_check: {error}")
        sys.exit(error.exit_code)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="gpu_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("archive", type=Path)
    made.add_argument("--config", help="of the archive's run, for test rows, float32 and rivals")
    made.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu [cuda]")
    made.add_argument("--calls", type=int, default=2000, help="of the handler that are timed for each batch [2000]")
    made.add_argument("--rivals", default="eager,compiled", help="of them, or an empty word for none [eager,compiled]")
    made.add_argument("--serve", action="store_true", help="measure a real TorchServe too (needs Java)")
    made.add_argument("--rate", type=float, default=1500, help="requests per second that are offered first [1500]")
    made.add_argument("--sla-ms", type=float, default=10, help="what 99 of 100 answers must keep [10]")
    made.add_argument("--seconds", type=float, default=15, help="that each rate is held [15]")
    made.add_argument("--output", type=Path, default=Path("gpu_check.json"))
    return made


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise MarwrightError(f"--device {name}: write cuda, cuda:1 or cpu.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MarwrightError(f"--device {name}: PyTorch {torch.__version__} finds no such GPU here. (--device cpu?)")
    return device


def check(given: argparse.Namespace, device: torch.device, config: Config | None) -> dict[str, Any]:
    """Everything that was asked for. What is known is in the file already when something later fails."""
    run = None if config is None else Run(config.runs / config.name)
    student = None if config is None or run is None else model_to_compress(config, run)
    found: dict[str, Any] = {
        "archive": str(given.archive),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }

    def keep(name: str, value: Any) -> None:
        found[name] = value
        write_text(given.output, stable_json(found))

    with unpacked(given.archive) as folder, importable(folder):
        if layout.GPU_MODULE not in {file.name for file in folder.iterdir()}:
            raise ArchiveError(f"{given.archive}: no module for GPUs; build it with compression.gpu: fp16.")
        texts = texts_of_archive(given.archive) if run is None else _test_rows(run, folder, given.archive)
        subject = Subject(given.archive, folder, device, texts, run, student)
        archived = loaded(given.archive, folder, (device.index or 0) if device.type == "cuda" else None)
        found["texts"] = len(texts)
        keep("agreement", _agreement(subject, archived))
        if device.type == "cuda":
            keep("graphs", _graphs(archived))
        keep("timing", _timing(subject, archived, given.calls, [name for name in given.rivals.split(",") if name]))
    if given.serve:
        keep("served", served(given.archive, texts, rate=given.rate, sla_ms=given.sla_ms, seconds=given.seconds))
    return found


def _test_rows(run: Run, folder: Path, archive: Path) -> list[str]:
    from datasets import load_from_disk

    if not run.exported.golden.is_file():
        raise DataError(f"{run.root}: no finished run; give the configuration that {archive} was built from.")
    if read_json(run.exported.golden) != read_json(folder / layout.GOLDEN):
        raise DataError(f"{archive} was not built from {run.root}: their golden requests differ.")
    return list(load_from_disk(str(run.data.splits))["test"]["text"])


def _agreement(subject: Subject, archived: Archived) -> dict[str, Any]:
    """The GPU's module against the CPU's in the same file, and against the student in float32 as it was recorded."""
    encoder = archived.handler.encoder
    if subject.device.type == "cuda":
        own = archived.handler.runtime.logits
        cpu = loaded(subject.archive, subject.folder, None).handler.runtime.logits
    else:
        own = jit.load(subject.folder / layout.GPU_MODULE)
        cpu = archived.handler.runtime.logits
    ours = logits_of(own, encoder, subject.texts, "the GPU's module")
    found: dict[str, Any] = {"with_cpu": agreement(ours, logits_of(cpu, encoder, subject.texts, "the CPU's module"))}
    if subject.student is not None:
        found["with_fp32"] = agreement(ours, np.load(subject.student.logits("test")))
    return found


def _graphs(archived: Archived) -> dict[str, Any]:
    runtime = archived.handler.runtime
    buckets = archived.handler.settings["modules"]["cuda"].get("buckets", [])
    recorded = sorted(getattr(runtime, "replays", {}))
    return {
        "recorded": [list(bucket) for bucket in recorded],
        "left_out": [bucket for bucket in buckets if tuple(bucket) not in recorded],
        "megabytes": round(getattr(runtime, "graph_bytes", 0) / (1 << 20), 1),
        "reserved_megabytes": round(torch.cuda.memory_reserved(archived.handler.device) / (1 << 20), 1),
    }


def _timing(subject: Subject, archived: Archived, calls: int, rivals: Sequence[str]) -> dict[str, Any]:
    alone, mixed = _batches(archived, subject.texts)
    found: dict[str, Any] = {}
    for name, batches in {f"1 × {ALONE_TOKENS}": alone, f"{MIXED_TEXTS} mixed": mixed}.items():
        longest = max(archived.handler.encoder.encode(list(batch))[0].size(1) for batch in batches)
        ways: dict[str, Answer] = {"marwright": archived.answer}
        if subject.student is not None:
            about = (subject.student.checkpoint, archived.handler.encoder, archived.handler.labels, subject.device)
            if "eager" in rivals:
                ways["Hugging Face, eager"] = eager(*about)
            if "compiled" in rivals:
                # Tensor cores want multiples of eight.
                ways["Hugging Face, torch.compile reduce-overhead"] = compiled(*about, padded_to=-8 * (-longest // 8))
        ways = {way: answer for way, answer in ways.items() if way == "marwright" or _answers(answer, batches, way)}
        found[name] = {"tokens_at_most": longest, "ways": timed(ways, batches, calls, name)}
        if subject.device.type == "cuda":
            found[name] |= _on_a_t4(subject, archived, batches, found[name]["ways"]["marwright"]["p50_ms"])
    return found


def _answers(answer: Answer, batches: Sequence[Sequence[str]], way: str) -> bool:
    """Whether a rival answers at all: torch.compile needs a C compiler and Python's headers, which may not be there."""
    try:
        answer(batches[0])
    # Whatever it is, the other figures are still wanted.
    except Exception as error:
        say(f"  {way} is left out: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
        return False
    return True


def _batches(archived: Archived, texts: Sequence[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Single texts of the wanted length, or the next best ones; and batches of short texts, always the same ones."""
    lengths = {text: len(archived.handler.encoder.tokenizer.encode(text).ids) for text in dict.fromkeys(texts)}
    nearest = min(lengths.values(), key=lambda length: abs(length - ALONE_TOKENS))
    alone = [[text] for text, length in lengths.items() if length == nearest]
    short = [text for text, length in lengths.items() if length <= MIXED_TOKENS]
    if not short:
        raise DataError(f"No text has up to {MIXED_TOKENS} tokens.")
    chosen = random.Random(0)
    return alone, [chosen.choices(short, k=MIXED_TEXTS) for _ in range(100)]


def _on_a_t4(subject: Subject, archived: Archived, batches: Sequence[Sequence[str]], total_ms: float) -> dict[str, Any]:
    """The time that the device was busy, and what a T4 would make of it."""
    runtime = archived.handler.runtime
    encoded = [archived.handler.encoder.encode(list(batch)) for batch in batches[:DEVICE_BATCHES]]
    shapes = [_computed_shape(runtime, ids.size(0), ids.size(1)) for ids, _ in encoded]
    found: dict[str, Any] = {
        "device_ms": float(np.median([device_ms(runtime, ids, mask) for ids, mask in encoded])),
        "without_graph": sum(shape is None for shape in shapes),
    }
    card = card_named(torch.cuda.get_device_name(subject.device))
    module = None if subject.student is None else load_module(subject.student.checkpoint, "script")
    if card is None or not isinstance(module, Encoder) or found["without_graph"]:
        return found
    work = [operations(module.shape, texts, length) for texts, length in filter(None, shapes)]
    weights = operations(module.shape, 1, 1) / 2
    least, most = t4_estimate(
        card,
        total_ms=total_ms,
        device_ms=found["device_ms"],
        operations=float(np.median(work)),
        bytes_read=BYTES_PER_WEIGHT * weights,
    )
    sources = f"{card.source}; {T4.source}"
    return found | {"t4_ms": {"least": least, "most": most, "formula": FORMULA, "sources": sources}}


def _computed_shape(runtime: Any, texts: int, length: int) -> tuple[int, int] | None:
    """The bucket that is computed for a batch, with what only fills it up."""
    buckets = getattr(runtime, "buckets", None)
    shape: tuple[int, int] | None = None if buckets is None else buckets.fitting(texts, length)
    return shape


def show(found: dict[str, Any]) -> None:
    """The table for people."""
    out = Console(highlight=False)
    out.print(f"{found['archive']} on {found['device']}, torch {found['torch']}", markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("texts to JSON", "p50 ms", "p99 ms", "texts/s", "times marwright's"):
        table.add_column(column, justify="left" if column == "texts to JSON" else "right")
    for batch, about in found["timing"].items():
        base = about["ways"]["marwright"]["p50_ms"]
        for name, each in about["ways"].items():
            table.add_row(
                f"{batch}: {name}",
                f"{each['p50_ms']:.3f}",
                f"{each['p99_ms']:.3f}",
                f"{each['texts_per_second']:,.0f}",
                f"{each['p50_ms'] / base:.2f}",
            )
        if "device_ms" in about:
            table.add_row(f"{batch}: the GPU busy", f"{about['device_ms']:.3f}")
        if "t4_ms" in about:
            table.add_row(f"{batch}: on a T4, estimated", f"{about['t4_ms']['least']}–{about['t4_ms']['most']}")
    out.print(table)
    others = {"with_cpu": "the CPU's module", "with_fp32": "the student in float32"}
    for name, each in found["agreement"].items():
        out.print(
            f"the GPU's module and {others[name]}: {each['same_label']:.2%} same labels of {found['texts']} texts"
        )
    if "graphs" in found:
        graphs = found["graphs"]
        out.print(
            f"CUDA graphs: {len(graphs['recorded'])} recorded in {graphs['megabytes']} MB, "
            f"{len(graphs['left_out'])} left out"
        )
    if "served" in found:
        first = found["served"]["first"]
        out.print(
            f"TorchServe at {first['offered_rate']:,.0f} requests/s: p99 {first['latency_ms']['p99']} ms; "
            f"p99 < {found['served']['promise_ms']:g} ms up to {found['served']['highest_rate']:,.0f} requests/s"
        )


if __name__ == "__main__":
    main()
