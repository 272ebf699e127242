"""Runs the stations of the road that are not fresh.

A station works in a partial folder that is moved into place when it is done, so a kill leaves the old result, or none,
and never half of one.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marwright.config import Config
from marwright.console.progress import say, working
from marwright.errors import ConfigError
from marwright.files import link_folder, move_folder_into_place
from marwright.processes.launched import is_main, wait_for_all
from marwright.processes.locking import locked
from marwright.road.freshness import digest_if_fresh, digest_of, fingerprint, write_stamp
from marwright.road.stations import STATIONS, Station
from marwright.workspace import Run


@dataclass(frozen=True)
class Step:
    """What happened at a station; ``fresh`` if there was nothing to compute."""

    station: str
    fresh: bool
    seconds: float


@dataclass(frozen=True)
class Missing:
    """A station that has to be computed, and the fingerprint of what it is made from."""

    station: str
    made_from: str


def build(
    config: Config,
    until: str | None = None,
    *,
    run: Run | None = None,
    lenders: Sequence[Run] = (),
    brief: bool = False,
) -> list[Step]:
    """Run every station that is not fresh, in order.

    Args:
        config: the model to build.
        until: the last station to run; all if none is given.
        run: where to build; the run of the configuration's name if none is given.
        lenders: runs whose folders are taken over, by hard links, where they were made from the same things.
        brief: say nothing of stations that have nothing to do.

    Raises:
        MarwrightError: a station cannot do its work; stations before it are done and stay fresh.
    """
    stations = stations_of(config, until)
    run = run or Run(config.runs / config.name)
    digests: dict[str, str] = {}
    with _held(run):
        return [_visit(station, config, run, digests, lenders, brief) for station in stations]


def first_missing(
    config: Config, until: str, run: Run, lenders: Sequence[Run] = (), *, wait_s: float = 0
) -> Missing | None:
    """The first station, in order, that neither the run nor a lender has; those before it are taken over.

    It takes what :func:`build` takes, and waits ``wait_s`` seconds for another process that works on the run.
    """
    digests: dict[str, str] = {}
    with _held(run, wait_s):
        for station in stations_of(config, until):
            made_from = fingerprint_of(station, config, digests)
            if _lender(station.name, made_from, (run, *lenders)) is None:
                return Missing(station.name, made_from)
            _visit(station, config, run, digests, lenders, brief=True)
    return None


def stations_of(config: Config, until: str | None) -> list[Station]:
    """A configuration's stations up to one of them."""
    stations = [station for station in STATIONS if station.when(config)]
    names = [station.name for station in stations]
    if until is None:
        return stations
    if until not in names:
        raise ConfigError(f"--until {until}: no such station in this configuration; there are {', '.join(names)}")
    return stations[: names.index(until) + 1]


@contextmanager
def _held(run: Run, wait_s: float = 0) -> Iterator[None]:
    run.root.mkdir(parents=True, exist_ok=True)
    taken = f"{run.root}: another build is working on this run; wait for it to end."
    with locked(run.lock, taken, wait_s=wait_s):
        yield


def fingerprint_of(station: Station, config: Config, digests: dict[str, str]) -> str:
    """The fingerprint of a station, from the digests of those before it."""
    inputs = {name: digests[name] for name in station.needs(config)}
    return fingerprint(station.revision, station.settings(config), inputs | station.outside(config))


def _visit(
    station: Station, config: Config, run: Run, digests: dict[str, str], lenders: Sequence[Run], brief: bool
) -> Step:
    started = time.monotonic()
    made_from = fingerprint_of(station, config, digests)
    result = station.result(config, run, station.name)
    digest = digest_if_fresh(run.stamp(station.name), made_from, result)
    own = result == run.folder(station.name)
    lender = _lender(station.name, made_from, lenders) if own and digest is None else None
    # Every process must have looked before one of them changes what they look at.
    wait_for_all()
    if digest is not None:
        digests[station.name] = digest
        if not brief:
            say(f"{station.name}: fresh, nothing to do ({result})")
        return Step(station.name, fresh=True, seconds=0.0)

    if lender is None:
        say(f"{station.name}:")
    elif not brief:
        say(f"{station.name}: taken from {lender.root}, made from the same")
    scratch = run.partial(station.name, made_from)
    output = scratch / "output"
    if is_main():
        _clear(run, station.name, scratch)
        output.mkdir(parents=True)
    wait_for_all()
    if lender is not None:
        if is_main():
            link_folder(lender.folder(station.name), output)
    elif is_main() or station.parallel:
        with working(station.name):
            station.work(config, run, output, scratch / "work")
    wait_for_all()
    if is_main():
        if own:
            move_folder_into_place(output, result)
        write_stamp(run.stamp(station.name), made_from, result)
        shutil.rmtree(scratch)
    wait_for_all()
    digests[station.name] = digest_of(result)
    seconds = time.monotonic() - started
    if lender is None:
        say(f"  done in {seconds:.0f} s")
    return Step(station.name, fresh=lender is not None, seconds=round(seconds, 1))


def _lender(station: str, made_from: str, lenders: Sequence[Run]) -> Run | None:
    """A run that has this station's result already, made from the same settings and inputs."""
    return next((run for run in lenders if digest_if_fresh(run.stamp(station), made_from, run.folder(station))), None)


def _clear(run: Run, station: str, scratch: Path) -> None:
    """Make room for a station's work. Scratch folders of other settings cannot be resumed any more."""
    for stale in run.root.glob(f".{station}-*.partial"):
        if stale != scratch:
            shutil.rmtree(stale)
    shutil.rmtree(scratch / "output", ignore_errors=True)
    run.stamp(station).unlink(missing_ok=True)
