"""Put a served archive under fire: the long form of the tests in tests/served/test_under_fire.py.

    make soak
    make soak ARGS="--run runs/banking77 --archive model_store/banking77.mar --scenarios keys,overload"

Keeps the figures in docs/benchmarks/soak.json, writes them into docs/reliability.md, and exits with 1 if a promise is
broken. Scenarios that were not run keep their last figures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from marwright.bench import texts_of_run
from marwright.config import load_config
from marwright.console.progress import say
from marwright.errors import MarwrightError
from marwright.mar.reading import describe
from marwright.processes.interrupts import interruptible
from marwright.resources import shipped
from marwright.road.stations import STATIONS
from marwright.server.properties import Properties
from marwright.workspace import Run
from soak.broken_forms import broken_forms
from soak.finding import Finding
from soak.goods import goods
from soak.grpc_calls import grpc_calls
from soak.hostile import hostile
from soak.keys import keys
from soak.killed_build import killed_build
from soak.killed_worker import killed_worker
from soak.neighbours import neighbours
from soak.overload import overload
from soak.report import record, write_table
from soak.rollout import rollout
from soak.served import served
from soak.steady import steady

EXIT_BROKEN = 1
NEIGHBOURS_TEXTS = 640
ROLLOUT_RATE = 200
GRPC_CALLS = 6_000


@dataclass(frozen=True)
class Plan:
    """What is put under fire, and for how long."""

    archive: Path
    run: Run
    seconds: float
    warm_up_s: float
    cases: int
    kills: int
    queue: int
    seed: int


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--archive", type=Path, default=Path("model_store/pt_classifier.mar"))
    found.add_argument("--run", type=Path, default=Path("runs/pt_classifier"), help="its run, for the texts")
    found.add_argument("--scenarios", default="", help=f"{', '.join(SCENARIOS)}; all if not given")
    found.add_argument("--seconds", type=float, default=600, help="of steady load")
    found.add_argument("--warm-up", type=float, default=120, help="seconds before that")
    found.add_argument("--cases", type=int, default=20_000, help="hostile requests")
    found.add_argument("--kills", type=int, default=6, help="of a worker")
    found.add_argument("--queue", type=int, help="job_queue_size in the overload; else that of config.properties")
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--output", type=Path, default=Path("docs/benchmarks/soak.json"), help="for the figures")
    found.add_argument("--page", type=Path, default=Path("docs/reliability.md"), help="for the table of them")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the scenarios one after another, and write what was found after each."""
    given = parser().parse_args(arguments)
    try:
        queue = given.queue or int(Properties.read(_development()).settings["job_queue_size"])
        run = Run(given.run)
        plan = Plan(given.archive, run, given.seconds, given.warm_up, given.cases, given.kills, queue, given.seed)
        names = _chosen(given.scenarios)
        describe(plan.archive)
        texts_of_run(plan.run)
        with interruptible():
            kept = [_kept(name, plan, given.output, given.page) for name in names]
    except MarwrightError as error:
        say(f"soak: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("soak: stopped; no server is left running")
        sys.exit(130)
    say(f"{given.output} and {given.page} are written")
    if not all(kept):
        sys.exit(EXIT_BROKEN)


def _chosen(given: str) -> list[str]:
    names = [name for name in given.split(",") if name] or list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        raise MarwrightError(f"--scenarios {', '.join(sorted(unknown))}: there are {', '.join(SCENARIOS)}.")
    return names


def _kept(name: str, plan: Plan, file: Path, page: Path) -> bool:
    started, busy = time.monotonic(), os.getloadavg()[0]
    say(f"{name}:")
    finding = SCENARIOS[name](plan)
    say(f"  {finding.summary}")
    for sentence in finding.broken[:10]:
        say(f"  BROKEN: {sentence}")
    say(f"  {'kept' if finding.kept else 'BROKEN'}, {time.monotonic() - started:.0f} s")
    record(finding, plan.archive, busy, file)
    write_table(file, page, list(SCENARIOS))
    return finding.kept


# Each scenario has a server of its own: what one leaves behind must not be the next one's fault.


def _killed_worker(plan: Plan) -> Finding:
    with served(plan.archive, _development()) as server:
        return killed_worker(server, kills=plan.kills, batch_size=_batch_size(plan.archive), calm_s=3, seed=plan.seed)


def _overload(plan: Plan) -> Finding:
    with served(plan.archive, _development(), {"job_queue_size": str(plan.queue)}) as server:
        texts = texts_of_run(plan.run)
        return overload(server, texts, seconds=30, queue=plan.queue, batch_size=_batch_size(plan.archive))


def _steady(plan: Plan) -> Finding:
    with served(plan.archive, _development()) as server:
        texts = texts_of_run(plan.run)
        return steady(server, texts, seconds=plan.seconds, warm_up_s=plan.warm_up_s, most_growth=0.02)


def _hostile(plan: Plan) -> Finding:
    with served(plan.archive, _development()) as server:
        return hostile(server, cases=plan.cases, seed=plan.seed)


def _grpc(plan: Plan) -> Finding:
    with served(plan.archive, _development()) as server:
        return grpc_calls(server, calls=GRPC_CALLS, seed=plan.seed)


def _broken_forms(plan: Plan) -> Finding:
    return broken_forms(plan.archive, _development(), heap_mb=256, forms=1_000)


def _neighbours(plan: Plan) -> Finding:
    return neighbours(plan.archive, texts_of_run(plan.run)[:NEIGHBOURS_TEXTS], rounds=3, seed=plan.seed)


def _rollout(plan: Plan) -> Finding:
    return rollout(plan.archive, shipped("configs") / "rollout.properties", rate=ROLLOUT_RATE, calm_s=20)


def _keys(plan: Plan) -> Finding:
    return keys(plan.archive, shipped("configs") / "production.properties")


def _killed_build(plan: Plan) -> Finding:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        build = goods(Path(folder))
        config = load_config(build.config)
        road = [station.name for station in STATIONS if station.when(config)]
        return killed_build(build, stations=[*road, road[-1], road[-1]], longest_s=5, seed=plan.seed)


SCENARIOS: dict[str, Callable[[Plan], Finding]] = {
    "killed-worker": _killed_worker,
    "overload": _overload,
    "steady": _steady,
    "rollout": _rollout,
    "hostile": _hostile,
    "grpc": _grpc,
    "broken-forms": _broken_forms,
    "neighbours": _neighbours,
    "keys": _keys,
    "killed-build": _killed_build,
}


def _development() -> Path:
    return shipped("configs") / "config.properties"


def _batch_size(archive: Path) -> int:
    return int((describe(archive)["model_config"] or {}).get("batchSize", 1))


if __name__ == "__main__":
    main()
