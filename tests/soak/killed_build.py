"""A build is killed with -9 at moments that nobody chose, and goes on each time it is started again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from marwright.checks.verify import verify
from marwright.config import load_config
from marwright.console.progress import say
from marwright.errors import MarwrightError
from marwright.files import sha256_of
from marwright.road.pipeline import build as build_archive
from marwright.road.stations import STATIONS
from marwright.server.process import is_alive
from soak.finding import Finding
from soak.served import awaited

PROMISE = "A kill -9 at any moment of a build leaves the old archive or the new one, whole, and a build that can go on"
_LONGEST_BUILD_S = 900
# A worker of TorchServe waits 30 s for whoever started it, once it has imported torch.
_ORPHANS_END_S = 60
_BEGINNINGS = {f"{station.name}:" for station in STATIONS}


@dataclass(frozen=True)
class Build:
    """A command that builds an archive. ``settings`` make stations run anew, to be killed in: ``dotted.key=value``."""

    config: Path
    archive: Path
    settings: Sequence[str] = ()

    @property
    def command(self) -> list[str]:
        """The command line."""
        overrides = [part for setting in self.settings for part in ("--set", setting)]
        return [sys.executable, "-m", "marwright", "build", str(self.config), *overrides]


def killed_build(build: Build, *, stations: Sequence[str], longest_s: float, seed: int) -> Finding:
    """Kill a build in one station after another, at moments drawn by chance.

    Args:
        build: of an archive that may stand there already.
        stations: where to kill, in the order of the road; one may be named several times.
        longest_s: the latest moment of a kill, in seconds from the station's beginning; it may fall into a later one.
        seed: of the moments.
    """
    chosen = random.Random(seed)
    whole = {sha256_of(build.archive)} if build.archive.is_file() else set()
    attempts, broken = [], []
    for number, station in enumerate(stations, 1):
        attempt = _killed(build, chosen.uniform(0, longest_s), f"{station}:")
        attempts.append(attempt)
        say(f"  kill {number} of {len(stations)}: {attempt}")
        if attempt.orphans:
            broken.append(f"killed in {attempt.station}, it left {attempt.orphans} processes running")
        if build.archive.is_file() and (found := sha256_of(build.archive)) not in whole:
            if not _verified(build.archive):
                broken.append(f"killed in {attempt.station}, it left an archive that does not verify")
            whole.add(found)
        if attempt.finished:
            break
    went_on = True
    try:
        build_archive(load_config(build.config, build.settings))
    except MarwrightError as error:
        went_on = False
        broken.append(f"the build cannot go on: {error}")
    if went_on and not _verified(build.archive):
        broken.append("the finished archive does not verify")
    if left := [path.name for path in build.archive.parent.glob(".*.partial")]:
        broken.append(f"the finished build has left {left}")
    places = Counter(attempt.station for attempt in attempts if not attempt.finished)
    if not places:
        broken.append(f"nothing was killed: the build takes less than {longest_s:g} s")
    figures = {"kills": places.total(), "killed_in": dict(places), "seed": seed, "went_on": went_on}
    listed = ", ".join(f"{count} × {place}" for place, count in places.items())
    summary = (
        f"{places.total()} kills (seed {seed}; {listed}): each time the archive was the old one, the new one or not "
        f"there yet, never a part; the build went on to its end and `marwright verify` accepts the archive"
    )
    return Finding("killed-build", PROMISE, summary, figures, tuple(broken))


@dataclass(frozen=True)
class _Attempt:
    """Where a build was when it was killed, or that it had ended before."""

    station: str
    finished: bool
    orphans: int

    def __str__(self) -> str:
        return "the build had ended before" if self.finished else f"in {self.station}"


def _killed(build: Build, delay_s: float, line: str) -> _Attempt:
    """Start a build and kill it some seconds after the line with which a station begins."""
    with tempfile.TemporaryDirectory(prefix="soak-") as private:
        # A dead process cannot remove its temporary files.
        environment = {**os.environ, "TMPDIR": private}
        with subprocess.Popen(build.command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            lines: list[str] = []
            reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
            reader.start()
            awaited(lambda: line in map(str.rstrip, lines) or process.poll() is not None, _LONGEST_BUILD_S)
            try:
                process.wait(delay_s)
                return _Attempt("end", finished=True, orphans=0)
            except subprocess.TimeoutExpired:
                family = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGKILL)
        # What the dead build had started must end by itself, or it would share the machine with the next one.
        awaited(lambda: not any(map(is_alive, family)), _ORPHANS_END_S)
        orphans = [each for each in family if is_alive(each)]
        for each in orphans:
            each.kill()
        reader.join()
    begun = [written[:-1] for written in map(str.rstrip, lines) if written in _BEGINNINGS]
    return _Attempt(begun[-1] if begun else "start", finished=False, orphans=len(orphans))


def _verified(archive: Path) -> bool:
    try:
        return verify(archive).holds
    except MarwrightError:
        return False
