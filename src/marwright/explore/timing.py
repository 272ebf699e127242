"""Latencies of several modules side by side: in turns, on one thread, so that a noisy machine strikes all alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marwright import runtimes
from marwright.console.progress import progress_bar, say
from marwright.encoder.logits import Module
from marwright.explore.measured import validation_texts
from marwright.explore.rows import Latency
from marwright.files import read_json, stable_json, write_text
from marwright.metrics.latency import Latencies
from marwright.pretrained.tokenization import padded
from marwright.processes.threads import one_thread
from marwright.road.freshness import fingerprint, recorded_digest
from marwright.workspace import Run

REVISION = 1
SIZES = (1, 16)
CALLS = 100
"""In a round, for each size."""
WARM_UP = 10
LONGEST_S = 5.0
"""A slow module has fewer calls in a round, but at least ten."""

Batch = tuple[Tensor, Tensor]


def time_in_turns(runs: Mapping[str, Run], file: Path, rounds: int) -> dict[str, Latency]:
    """Latencies of the runs' exported modules, measured unless the file has those of these modules on this machine.

    Args:
        runs: built up to their exported modules, by name. The texts are those of the validation split.
        file: where the latencies are kept.
        rounds: in which every module has its turn; with another number they are measured again.
    """
    machine = {"processor": processor(), "torch": torch.__version__}
    modules = {name: recorded_digest(run.stamp("exported")) for name, run in runs.items()}
    made_from = fingerprint(REVISION, machine | {"rounds": rounds}, modules)
    kept: Any = None
    with suppress(OSError, ValueError):
        kept = read_json(file)
    if not isinstance(kept, dict) or kept.get("made_from") != made_from:
        # Some runtimes take the number of threads when they load.
        with one_thread():
            loaded = {name: runtimes.load(run.exported.cpu) for name, run in runs.items()}
        found = interleaved(loaded, {name: _batches(run) for name, run in runs.items()}, rounds)
        kept = {
            "made_from": made_from,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine | {"threads": 1, "rounds": rounds},
            "latencies": {name: asdict(latency) for name, latency in found.items()},
        }
        write_text(file, stable_json(kept))
    return {name: Latency(**kept["latencies"][name]) for name in runs}


def interleaved(
    modules: Mapping[str, Module], batches: Mapping[str, Mapping[int, Sequence[Batch]]], rounds: int
) -> dict[str, Latency]:
    """Time modules in rounds, on batches (ids and mask) of each size; in each round every module has its turn."""
    measured: dict[tuple[str, int], list[tuple[float, float]]] = {
        (name, size): [] for name in modules for size in SIZES
    }
    say(f"timing {len(modules)} modules in {rounds} rounds, in turns on one thread:")
    started = time.monotonic()
    with one_thread(), torch.inference_mode(), progress_bar() as bar:
        task = bar.add_task("timing", total=rounds * len(modules), note="")
        for number in range(rounds):
            for name, module in modules.items():
                for size in SIZES:
                    found = _calls(module, batches[name][size])
                    measured[name, size].append((found.percentile(50), found.percentile(99)))
                bar.advance(task)
            left = (time.monotonic() - started) / (number + 1) * (rounds - number - 1)
            say(f"  round {number + 1} of {rounds}" + (f", about {left:.0f} s left" if left else ""))
    medians = {key: [round(each, 3) for each in np.median(pairs, axis=0).tolist()] for key, pairs in measured.items()}
    return {name: Latency(*medians[name, 1], *medians[name, 16]) for name in modules}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _calls(module: Module, batches: Sequence[Batch]) -> Latencies:
    """Time each call, after some that are not counted."""
    for ids, mask in batches[:WARM_UP]:
        module(ids, mask)
    times, ends = Latencies(), time.monotonic() + LONGEST_S
    for ids, mask in batches[WARM_UP:]:
        with times.call():
            module(ids, mask)
        if len(times.ms) >= 10 and time.monotonic() > ends:
            break
    return times


def _batches(run: Run) -> dict[int, list[Batch]]:
    """Calls of real texts, cut from the validation split in its order, from the start again when it ends."""
    texts = validation_texts(run)
    return {
        size: [
            padded([texts.rows[(call * size + at) % len(texts.rows)] for at in range(size)], texts.filler)
            for call in range(WARM_UP + CALLS)
        ]
        for size in SIZES
    }
