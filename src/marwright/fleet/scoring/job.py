"""A job from its first block to its manifest; a job that was killed goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from marwright.console.progress import progress_bar, say
from marwright.errors import ArchiveError, DataError, MarwrightError
from marwright.files import sha256_of, stable_json
from marwright.fleet.scoring import arguments
from marwright.fleet.scoring.blocks import LARGE_JOB, MERGED_BLOCKS, PART, ROWS, Block
from marwright.fleet.scoring.columns import fits_csv
from marwright.fleet.scoring.finding import find, see_that_nothing_changed
from marwright.fleet.scoring.inputs import Plan, plan
from marwright.fleet.scoring.local import score_here
from marwright.fleet.scoring.on_ray import score_on_ray
from marwright.fleet.scoring.storage import Folder
from marwright.fleet.scoring.work import ADDED, Done, Work
from marwright.formats.column_names import listed
from marwright.mar.reading import describe
from marwright.processes.locking import locked

# Whoever reads the folder as one table, such as pyarrow or Spark, leaves out names that begin so.
JOB, MANIFEST, LOCK = "_job.json", "_manifest.json", "_lock"
BATCH = 16
"""Texts, sorted by length. Of 16, 32, 64 and 128 this was the fastest on a CPU."""


@dataclass(frozen=True)
class Summary:
    """What a job did."""

    output: str
    rows: int
    """Of all inputs."""
    scored: int
    """Rows that this call scored; those before were there."""
    errors: int
    """Of these the ones without an answer; their column ``error`` says why."""
    seconds: float


def score(
    archive: str | Path,
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    text: str | Sequence[str] = "text",
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    top_k: int | None = None,
    min_confidence: float | None = None,
    batch_size: int = BATCH,
    prefix: str = "",
    format: str = "parquet",
    device: str = "cpu",
) -> Summary:
    """Score tables: their columns and ``label``, ``probability``, ``predictions``, ``abstained`` and ``error``.

    Args:
        archive: a ``.mar`` file that marwright has built.
        inputs: paths, URLs of fsspec or globs of csv, tsv, jsonl and parquet files, or folders that ``datasets`` saved.
        output: a folder for the parts, in which nothing else lies. If a job of these inputs and settings lies there, it
            goes on.
        text: the column with the texts; or several, the fields that the archive takes in place of a text.
        engine: ``local``, the cores of this machine; or ``ray``, a cluster.
        address: of the cluster; ``auto`` for the one of this machine.
        workers: processes or actors; as many as there are cores if not given.
        top_k: labels in ``predictions``; the archive's own number if not given.
        min_confidence: how probable the best label must be; the archive's own threshold if not given.
        batch_size: texts that are computed at once.
        prefix: of the names of the added columns.
        format: of the parts: parquet, csv or jsonl.
        device: of PyTorch.

    Raises:
        MarwrightError: an input cannot be read, the output cannot be written or holds another job, or the archive
            cannot run. A row that cannot be scored raises nothing.
    """
    began = time.perf_counter()
    texts = arguments.texts(text)
    asked: dict[str, Any] = {
        "top_k": top_k,
        "min_confidence": min_confidence,
        "batch_size": batch_size,
        "prefix": prefix,
        "format": format,
        "device": device,
    }
    arguments.check(engine=engine, address=address, workers=workers, **asked)
    file, folder = arguments.file("archive", archive), Folder(arguments.path("output", output))
    cores = _check_archive(file, texts, top_k)
    found = find(arguments.paths("inputs", inputs), folder)
    settings = asked | {
        "archive": sha256_of(file),
        "inputs": [asdict(one) for one in found],
        "text": texts,
        "rows_of_a_part": [ROWS, LARGE_JOB, MERGED_BLOCKS],
    }
    with _only_one(folder):
        there = _parts_in(folder, stable_json(settings))
        todo = plan(found, texts)
        _check_columns(todo, prefix, format)
        if not there:
            folder.write(JOB, stable_json(settings).encode())
        left = [block for block in todo.blocks if f"{block.name}.{format}" not in there]
        work = Work(
            archive=str(file.resolve()),
            sha256=settings["archive"],
            output=str(folder.local or folder.place),
            texts=texts,
            columns=todo.columns,
            **asked,
        )
        if engine == "ray" and left:
            parts = score_on_ray(work, left, workers, address)
        else:
            # A GPU has no room for as many as there are cores.
            processes = workers or (cores if device == "cpu" else 1)
            parts = score_here(work, left, min(processes, max(len(left), 1)))
        with closing(parts):
            scored, errors = _follow(parts, left, todo.rows)
        if left or MANIFEST not in folder.names():
            see_that_nothing_changed(found)
            folder.sweep()  # of workers that were killed meanwhile
            folder.write(MANIFEST, _manifest(todo, format))
    return Summary(work.output, todo.rows, scored, errors, time.perf_counter() - began)


def _check_archive(archive: Path, texts: Sequence[str], top_k: int | None) -> int:
    """How many processes of it this machine has cores for."""
    about = describe(archive)
    setup = about["setup"]
    if not isinstance(setup, dict):
        raise ArchiveError(f"{archive}: its handler is not one of marwright's, so only TorchServe can run it.")
    fields = setup.get("text", {}).get("fields", ())
    if len(texts) > 1 and (strangers := [one for one in texts if one not in fields]):
        takes = f"takes the fields {', '.join(fields)}" if fields else "takes one text"
        raise DataError(f"{archive}: {takes}; it knows no {', '.join(strangers)}. Give --text as the archive takes it.")
    labels = about["labels"]
    if not labels:
        raise ArchiveError(f"{archive}: has no labels; marwright score adds labels to rows.")
    if top_k is not None and not 1 <= top_k <= labels:
        raise DataError(f"top_k {top_k}: the archive has {labels} labels.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(setup.get("threads", 1)))


def _check_columns(todo: Plan, prefix: str, form: str) -> None:
    """See that a part can have all columns, those of the input and those that are added."""
    place = todo.blocks[0].source.place
    if taken := [prefix + name for name in ADDED if prefix + name in todo.columns]:
        raise DataError(f"{place}: has a column {', '.join(taken)} already. Give the new ones a --prefix.")
    if form == "csv" and (others := [name for name, kind in todo.types.items() if not fits_csv(kind)]):
        held = listed(f"{name!r} of {todo.types[name]}" for name in others)
        raise DataError(f"{place}: a csv cannot hold the column {held}. Leave --format away.")


@contextmanager
def _only_one(folder: Folder) -> Iterator[None]:
    folder.make()
    taken = f"{folder.place}: another marwright score writes there now."
    with locked(folder.local / LOCK, taken, keep=False) if folder.local is not None else nullcontext():
        yield


def _parts_in(folder: Folder, settings: str) -> set[str]:
    """The parts of this job that lie there; a job that has none yet leaves its place to any other.

    Raises:
        MarwrightError: there lies another job, or something else.
    """
    names = folder.names()
    parts = {name for name in names if PART.fullmatch(name)}
    others = sorted(name for name in names if name != LOCK and not name.startswith(f".{JOB}."))
    if others and JOB not in names:
        raise MarwrightError(f"{folder.place}: there is something already ({others[0]}); name an empty folder.")
    if JOB not in names or not parts:
        return set()
    folder.sweep()
    try:
        before, now = json.loads(folder.read(JOB)), json.loads(settings)
        different = [name.replace("_", " ") for name in now if before.get(name) != now[name]]
    except (ValueError, RecursionError, AttributeError) as error:
        raise MarwrightError(
            f"{folder.place}: its {JOB} is damaged, so nobody knows what the parts beside it are. Name another folder, "
            "or remove it."
        ) from error
    if different:
        raise MarwrightError(
            f"{folder.place}: holds a job that differs in {', '.join(different)}. Name another folder, or remove it."
        )
    return parts


def _follow(parts: Iterator[Done], left: Sequence[Block], rows: int) -> tuple[int, int]:
    """Show how far it is; rows that were scored, and those of them without an answer."""
    scored = errors = 0
    missing = sum(block.span.rows for block in left)
    if 0 < missing < rows:
        say(f"{rows - missing:,} of {rows:,} rows are there; going on with the rest.")
    began = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("scoring", total=missing, note="")
        for done in parts:
            scored, errors = scored + done.rows, errors + done.errors
            rate = scored / (time.perf_counter() - began)
            bar.update(task, completed=scored, note=f"{rate:,.0f} rows/s")
    if scored != missing:
        raise MarwrightError(f"{missing - scored:,} rows were not scored. The same command goes on.")
    return scored, errors


def _manifest(todo: Plan, form: str) -> bytes:
    parts: list[dict[str, Any]] = [
        {"file": f"{one.name}.{form}", "input": one.source.place, "first": one.span.first, "rows": one.span.rows}
        for one in todo.blocks
    ]
    return stable_json({"rows": todo.rows, "parts": parts}).encode()
