"""The road: which station comes after which, what each needs, and what it reads.

Only this module knows the order. A station is a plain function that fills an empty folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from marwright.config import Config, StudentConfig
from marwright.files import read_json
from marwright.mar.handler_modules import SERVING, handler_modules
from marwright.mar.writing import source_date
from marwright.resources import shipped
from marwright.road.freshness import digest_of
from marwright.runtimes import RUNTIMES
from marwright.tasks import SINGLE_LABEL, TASKS
from marwright.workspace import DataFolder, ModelFolder, Run

# In their order; only the first two are in every road.
MODELS = ("teacher", "student", "pruned", "tuned")


@dataclass(frozen=True)
class Station:
    """One step of the road.

    ``work`` fills ``output``; ``scratch`` survives a kill and is found again by the same settings and inputs.
    ``when`` says whether a configuration has the station at all; its road is as if there were none otherwise.
    ``parallel`` says that with ``accelerate launch`` every process takes part, and not the main one alone.
    """

    name: str
    revision: int
    needs: Callable[[Config], tuple[str, ...]]
    settings: Callable[[Config], dict[str, Any]]
    work: Callable[[Config, Run, Path, Path], None]
    outside: Callable[[Config], dict[str, str]] = lambda config: {}
    result: Callable[[Config, Run, str], Path] = lambda config, run, name: run.folder(name)
    parallel: bool = False
    when: Callable[[Config], bool] = lambda config: True


def trained_models(config: Config) -> tuple[str, ...]:
    """The stations that give a trained model, in their order; the last one's is compressed."""
    return tuple(station.name for station in STATIONS if station.name in MODELS and station.when(config))


def model_to_compress(config: Config, run: Run) -> ModelFolder:
    """The model that goes into the archive, before its compression."""
    return run.model(trained_models(config)[-1])


def archive_path(config: Config) -> Path:
    return config.model_store / f"{config.name}.mar"


# Their imports stay inside: a build with nothing to do must not wait for torch.


def _data(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.data.legibility import check_legibility
    from marwright.data.station import prepare_data
    from marwright.road.rehearsal.plan import check_plan

    check_plan(config)
    prepare_data(
        config.data,
        TASKS[config.task],
        checkpoint=config.teacher.checkpoint,
        max_length=config.teacher.max_length,
        seed=config.seed,
        output=output,
        kept_at=run.data.root,
    )
    if config.data.unknown_tokens == "refuse":
        check_legibility(read_json(DataFolder(output).card)["legibility"], config.teacher.checkpoint)


def _teacher(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.road.rehearsal.in_small import rehearse
    from marwright.road.rehearsal.plan import check_plan
    from marwright.training.teacher import train_teacher

    check_plan(config)
    rehearse(config, run.data, scratch)
    train_teacher(config.teacher, run.data, seed=config.seed, output=output, work=scratch)


def _student(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.road.rehearsal.in_small import rehearse
    from marwright.road.rehearsal.plan import check_plan
    from marwright.training.student import ship_teacher, train_student

    check_plan(config)
    if isinstance(config.student, StudentConfig):
        rehearse(config, run.data, scratch)
        train_student(config.student, run.data, run.teacher, **_training(config, output, scratch))
    else:
        ship_teacher(run.teacher, output=output)


def _training(config: Config, output: Path, scratch: Path) -> dict[str, Any]:
    """What all training of students is told."""
    return {"max_length": config.teacher.max_length, "seed": config.seed, "output": output, "work": scratch}


def _pruned(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.training.pruned import prune

    assert config.pruning is not None
    prune(config.pruning, run.data, run.teacher, run.student, **_training(config, output, scratch))


def _tuned(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.training.tuned import tune

    before = [name for name in trained_models(config) if name != "tuned"]
    start = run.model(before[-1])
    training = _training(config, output, scratch)
    tune(config.compression, config.export, run.data, run.teacher, start, **training)


def _compressed(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.compression.station import compress

    compress(config.compression, config.export, run.data, model_to_compress(config, run), output=output)


def _exported(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.export.station import export

    model, length = model_to_compress(config, run), config.teacher.max_length
    export(config.export, run.data, model, run.compressed, max_length=length, output=output)


def _archive(config: Config, run: Run, output: Path, scratch: Path) -> None:
    from marwright.archive.station import build_archive

    build_archive(config.archive, run, name=config.name, file=archive_path(config), trained=trained_models(config))


# What a station reads from outside the run: name to digest.


def _data_inputs(config: Config) -> dict[str, str]:
    source = config.data.source
    inputs = {package: _version_of(package) for package in source.packages}
    if source.place is not None:
        inputs["source"] = _digest_at(source.place)
    return inputs | _checkpoint_input(config.teacher.checkpoint)


def _student_inputs(config: Config) -> dict[str, str]:
    if isinstance(config.student, StudentConfig) and config.student.checkpoint is not None:
        return _checkpoint_input(config.student.checkpoint)
    return {}


def _checkpoint_input(checkpoint: str) -> dict[str, str]:
    return {"checkpoint": _digest_at(checkpoint)}


def _digest_at(place: str) -> str:
    """Of a file or folder that the user names. A hub id or a URL, without bytes here, is the same while its name is."""
    try:
        return digest_of(Path(place).expanduser())
    except (OSError, RuntimeError):
        return "unreadable"  # the station says why


def _archive_inputs(config: Config) -> dict[str, str]:
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


def _compression(config: Config) -> dict[str, Any]:
    """What compression itself reads. A setting that is not given is left out, so that older results stay fresh."""
    left_out = {"quantization_aware"} | ({"max_drop"} if config.compression.max_drop is None else set())
    return config.compression.model_dump(mode="json", exclude=left_out)


STATIONS = (
    Station(
        "data",
        revision=5,
        needs=lambda c: (),
        settings=lambda c: {
            # What is not given stays out: data made before there were other tasks is still fresh.
            **({} if c.task == SINGLE_LABEL else {"task": c.task}),
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
        revision=2,
        needs=lambda c: ("data",),
        settings=lambda c: {"teacher": c.teacher, "seed": c.seed},
        work=_teacher,
        outside=lambda c: _checkpoint_input(c.teacher.checkpoint),
        parallel=True,
    ),
    Station(
        "student",
        revision=1,
        needs=lambda c: ("data", "teacher"),
        settings=lambda c: {"student": c.student, "max_length": c.teacher.max_length, "seed": c.seed},
        work=_student,
        outside=_student_inputs,
        parallel=True,
    ),
    Station(
        "pruned",
        revision=1,
        needs=lambda c: ("data", "teacher", "student"),
        settings=lambda c: {"pruning": c.pruning, "max_length": c.teacher.max_length, "seed": c.seed},
        work=_pruned,
        parallel=True,
        when=lambda c: c.pruning is not None,
    ),
    Station(
        "tuned",
        revision=2,
        needs=lambda c: ("data", *trained_models(c)[:-1]),
        settings=lambda c: {
            "training": c.compression.quantization_aware,
            "activations": c.compression.activations,
            "embeddings": c.compression.embeddings,
            "method": c.export.method,
            "max_length": c.teacher.max_length,
            "seed": c.seed,
        },
        work=_tuned,
        parallel=True,
        when=lambda c: c.compression.quantization_aware is not None,
    ),
    Station(
        "compressed",
        revision=6,
        needs=lambda c: ("data", trained_models(c)[-1]),
        settings=lambda c: {"compression": _compression(c), "method": c.export.method},
        work=_compressed,
    ),
    Station(
        "exported",
        revision=17,
        needs=lambda c: ("data", trained_models(c)[-1], "compressed"),
        settings=lambda c: {"export": c.export, "max_length": c.teacher.max_length},
        work=_exported,
    ),
    Station(
        "archive",
        revision=11,
        needs=lambda c: ("data", *trained_models(c), "compressed", "exported"),
        settings=lambda c: {"archive": c.archive, "name": c.name, "model_store": str(c.model_store)},
        work=_archive,
        outside=_archive_inputs,
        result=lambda config, run, name: archive_path(config),
    ),
)
