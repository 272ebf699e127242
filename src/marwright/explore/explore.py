"""An exploration: every candidate is built and measured, then all are timed in turns and judged."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
from datasets import load_from_disk

from marwright.config import TIMING_ROUNDS, Config, SelectConfig
from marwright.console.progress import say
from marwright.errors import MarwrightError, PromiseError
from marwright.explore.candidates import Candidate, candidates_of
from marwright.explore.cluster import Cluster, train_on
from marwright.explore.failing import why_it_fails
from marwright.explore.measured import measure_memory
from marwright.explore.rows import Latency, Row, row_as_json, split_figures
from marwright.explore.selecting import Verdict, select
from marwright.explore.suspects import find_suspects
from marwright.explore.timing import time_in_turns
from marwright.files import read_json
from marwright.metrics.verdicts import warnings
from marwright.processes.launched import are_many
from marwright.processes.locking import locked
from marwright.road.pipeline import build
from marwright.road.stations import model_to_compress
from marwright.workspace import Findings, Run

FRESH_S = 5.0
"""A candidate that took less had nothing to do."""


@dataclass(frozen=True)
class Exploration:
    """What was found: a row for each candidate, in the configuration's order, and the choice."""

    config: Config
    candidates: tuple[Candidate, ...]
    rows: tuple[Row, ...]
    verdict: Verdict
    findings: Findings

    @property
    def promise(self) -> SelectConfig:
        """What was asked; the usual promise if the configuration has none."""
        return self.config.select or SelectConfig()

    @property
    def teacher(self) -> Run:
        """The run whose teacher all candidates are compared with."""
        return Run(self.config.runs / self.config.name)

    @property
    def shown(self) -> Candidate | None:
        """The candidate that a report shows in detail: the winner, or the first that could be measured."""
        measured = [row.name for row in self.rows if row.test is not None]
        name = self.verdict.winner or (measured[0] if measured else None)
        return next((each for each in self.candidates if each.name == name), None)

    @property
    def warnings(self) -> list[str]:
        """What speaks against the candidate that is shown."""
        shown = self.shown
        row = None if shown is None else next(row for row in self.rows if row.name == shown.name)
        if shown is None or row is None or row.test is None:
            return []
        return warnings(read_json(shown.run.data.card), row.test.accuracy)


def explore(config: Config, cluster: Cluster | None = None) -> Exploration:
    """Build and measure all candidates of a configuration; what is fresh is left alone.

    A candidate that fails does not stop the others; its row has the reason.

    Args:
        config: which has the candidates.
        cluster: where their models are trained, side by side; here in turns if none is given. All else is done here.

    Raises:
        MarwrightError: the teacher cannot be built, another exploration of this configuration is at work, this is
            one of several processes, or there is no such cluster.
    """
    if are_many():
        raise MarwrightError(
            "Candidates are explored by one process; with accelerate launch, build --until teacher first."
        )
    main = Run(config.runs / config.name)
    folder = main.candidates
    folder.root.mkdir(parents=True, exist_ok=True)
    with locked(folder.lock, f"{folder.root}: another exploration is at work here; wait for it to end."):
        candidates = candidates_of(config)
        lenders = [main, *folder.existing(), *(each.run for each in candidates)]
        say(f"exploring {len(candidates)} candidates; first the teacher they are compared with")
        failures: dict[str, str] = {}
        if cluster is not None:
            failures |= train_on(cluster, config, candidates, lenders)
        build(config, "teacher", lenders=lenders, brief=True)
        took: list[float] = []
        started, total = time.monotonic(), len(candidates)
        for number, candidate in enumerate(candidates, 1):
            if candidate.name in failures:
                continue
            began = time.monotonic()
            times = _times(total - number + 1, began - started, took)
            say(f"candidate {number} of {total}: {candidate.name} ({candidate.about}){times}")
            reason = why_it_fails(folder.failure(candidate.name), partial(_build_and_measure, candidate, lenders))
            took.append(time.monotonic() - began)
            if reason is not None:
                failures[candidate.name] = reason
                say(f"  {candidate.name} FAILED: {reason}")
        find_suspects(config, main)
        return _judged(config, tuple(candidates), failures, folder.findings)


def examine(config: Config) -> Exploration:
    """Build a configuration up to its exported module and measure it alone: an exploration with one candidate."""
    run = Run(config.runs / config.name)
    build(config, "exported", lenders=run.candidates.existing(), brief=True)
    with locked(run.lock, f"{run.root}: a build is working on this run; wait for it to end."):
        measure_memory(run)
        find_suspects(config, run)
        return _judged(config, (Candidate(config.name, {}, config, run),), {}, run.findings)


def chosen(exploration: Exploration) -> Candidate:
    """The candidate that an exploration picked.

    Raises:
        PromiseError: none keeps the promise; the message says which promise fails and by how much.
    """
    winner = next((each for each in exploration.candidates if each.name == exploration.verdict.winner), None)
    if winner is None:
        raise PromiseError(exploration.verdict.sentence)
    return winner


def _build_and_measure(candidate: Candidate, lenders: list[Run]) -> None:
    build(candidate.config, "exported", run=candidate.run, lenders=lenders, brief=True)
    measure_memory(candidate.run)


def _judged(
    config: Config, candidates: tuple[Candidate, ...], failures: Mapping[str, str], findings: Findings
) -> Exploration:
    runs = {each.name: each.run for each in candidates if each.name not in failures}
    rounds = TIMING_ROUNDS if config.explore is None else config.explore.timing_rounds
    latencies = time_in_turns(runs, findings.timings, rounds) if runs else {}
    rows = tuple(_rows(candidates, failures, latencies, Run(config.runs / config.name)))
    verdict = select(rows, config.select or SelectConfig())
    return Exploration(config, candidates, rows, verdict, findings)


def _rows(
    candidates: Sequence[Candidate], failures: Mapping[str, str], latencies: Mapping[str, Latency], teacher: Run
) -> Iterator[Row]:
    """The candidates' rows: their answers beside the teacher's and the right ones."""
    splits = load_from_disk(str(teacher.data.splits))
    answers = {
        split: (np.load(teacher.teacher.logits(split)), np.asarray(splits[split]["label"]))
        for split in ("validation", "test")
    }
    for candidate in candidates:
        name, run = candidate.name, candidate.run
        if name in failures:
            yield Row(name, candidate.about, failure=failures[name])
            continue
        fitted = read_json(run.exported.card)["confidence"]
        figures: dict[str, Any] = {
            split: split_figures(
                run.data.task, np.load(run.exported.logits(split)), *theirs, fitted, run.data.counted_as_wrong(split)
            )
            for split, theirs in answers.items()
        }
        yield Row(
            name,
            candidate.about,
            **figures,
            latency=latencies[name],
            module_bytes=run.exported.cpu.stat().st_size,
            peak_memory_bytes=read_json(run.measured.memory)["peak_bytes_above_baseline"],
            fp32_test_accuracy=read_json(model_to_compress(candidate.config, run).metrics)["test"]["accuracy"],
        )


def _times(left: int, elapsed: float, took: Sequence[float]) -> str:
    """How long it has taken, and how long the candidates that are left may take, from the seconds of the others."""
    if elapsed < 2:
        return ""
    told = f"; {timedelta(seconds=round(elapsed))} gone"
    # Fresh candidates say nothing about the others.
    worked = [seconds for seconds in took if seconds > FRESH_S]
    if not worked:
        return told
    rest = timedelta(seconds=round(sum(worked) / len(worked) * left))
    return f"{told}, about {rest} left if the others take as long"


def as_json(exploration: Exploration) -> dict[str, Any]:
    """What an exploration found, for programs."""
    return {
        "name": exploration.config.name,
        "promise": exploration.promise.model_dump(mode="json") | {"configured": exploration.config.select is not None},
        "verdict": asdict(exploration.verdict),
        "warnings": exploration.warnings,
        "candidates": [row_as_json(row) for row in exploration.rows],
    }
