"""Every file name of a run, declared once.

A run lives in ``runs/NAME``; each station owns one folder of it. The archive goes to the model store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from marwright.files import read_json
from marwright.runtimes import RUNTIMES
from marwright.tasks import SINGLE_LABEL, TASKS, Task

SPLITS = ("train", "validation", "test")

T = TypeVar("T")


@dataclass(frozen=True)
class Folder:
    """A folder whose class names what is in it."""

    root: Path


class _Within(Generic[T]):
    """What stands at a fixed place of a folder."""

    def __init__(self, name: str, kind: Callable[[Path], T]) -> None:
        self.name, self.kind = name, kind

    def __get__(self, folder: Folder, owner: type[Folder]) -> T:
        return self.kind(folder.root / self.name)


def _at(name: str) -> _Within[Path]:
    return _Within(name, Path)


class DataFolder(Folder):
    """Cleaned, divided rows: what the data station leaves behind."""

    splits = _at("splits")
    """A ``datasets.DatasetDict`` with columns ``text`` and ``label`` (a ``ClassLabel``)."""
    labels = _at("labels.json")
    """The label names, a JSON list in the order of their ids."""
    card = _at("card.json")
    """What is in the data, and how many rows were left out and why."""
    left_out = _at("left_out.csv")
    """Every row that was left out, with its place and reason."""

    @property
    def task(self) -> Task:
        """What is asked of the texts; the card names it where it is not one label."""
        return TASKS[read_json(self.card).get("task", SINGLE_LABEL)]

    def counted_as_wrong(self, split: str = "test") -> dict[str, int]:
        """How many more rows than the split holds count as wrong answers, by label, since no train row has it.

        ``data.unseen_labels: count_as_wrong`` leaves them out of the split, where they would need a label id that no
        model has; every accuracy still has them in its denominator. There are none in other splits than test.
        """
        found: dict[str, int] = read_json(self.card).get("counted_as_wrong", {}) if split == "test" else {}
        return found


class _Answers(Folder):
    def logits(self, split: str) -> Path:
        """Float32 logits, one row per text of the split, in the split's order."""
        return self.root / f"logits_{split}.npy"


class ModelFolder(_Answers):
    """A trained model in Hugging Face's layout, with its answers on every split."""

    checkpoint = _at("checkpoint")
    """Loadable with ``AutoModelForSequenceClassification``; a Bi-LSTM after ``modules.bilstm.register()``."""
    tokenizer = _at("tokenizer.json")
    """The one ``tokenizer.json``: normalisation, word pieces, truncation and special tokens."""
    metrics = _at("metrics.json")
    """Accuracy, macro-F1 and weighted F1 on validation and test, and the seconds it took."""
    history = _at("history.json")
    """One entry per epoch: losses and validation scores."""
    curves = _at("curves.png")
    """The same as a picture."""


class CompressedFolder(Folder):
    """The student's weights in the precision of each device."""

    cpu = _at("cpu.safetensors")
    """Weights of the module that runs on CPUs."""
    gpu = _at("gpu.safetensors")
    """Weights of the module that runs on GPUs; absent when none was asked for."""
    plan = _at("compression.json")
    """Which layers have which precision, and the sizes before and after."""


class ExportedFolder(_Answers):
    """The modules that are served and the proof that they answer as the model they were made from.

    There are logits of validation and test, by the module for CPUs.
    """

    gpu = _at("model_gpu.pt")
    """The module for GPUs; absent when none was asked for."""
    token_lengths = _at("token_lengths.json")
    """How many train rows have which number of tokens; absent when there is no module for GPUs."""
    golden = _at("golden_requests.json")
    """Texts with the probabilities that the exported module gave them."""
    card = _at("card.json")
    """Parity, accuracy and calibration of the exported module."""
    latency = _at("latency.json")
    """Milliseconds of the exported module on this machine; each measurement gives others."""

    def module(self, runtime: str) -> Path:
        """The module for CPUs that a runtime computes; a folder has one of them."""
        return self.root / RUNTIMES[runtime].module_file

    @property
    def cpu(self) -> Path:
        """The module for CPUs that is there."""
        there = (self.module(runtime) for runtime in RUNTIMES)
        return next((file for file in there if file.is_file()), self.module("torchscript"))


class MeasuredFolder(Folder):
    """The memory that the exported module needs."""

    memory = _at("memory.json")
    """Peak memory of a fresh process that loads the module and runs it."""


class Findings(Folder):
    """What is told about a run, or about several that were measured together."""

    timings = _at("timings.json")
    """Milliseconds of the exported modules, measured in turns."""
    report = _at("report.html")
    """One page for people."""
    numbers = _at("report.json")
    """The same for programs."""


class Run(Folder):
    lock = _at(".lock")
    """Held while a build works on this run."""
    suspects = _at("suspects.csv")
    """Train rows that look mislabelled, the most suspicious first; absent until a report is made."""
    about_suspects = _at("suspects.json")
    """How many rows were looked at for it."""
    findings = _Within("", Findings)
    """The report on this run alone."""
    data = _Within("data", DataFolder)
    teacher = _Within("teacher", ModelFolder)
    student = _Within("student", ModelFolder)
    compressed = _Within("compressed", CompressedFolder)
    exported = _Within("exported", ExportedFolder)
    measured = _Within("measured", MeasuredFolder)

    def folder(self, station: str) -> Path:
        """The folder that a station owns."""
        return self.root / station

    def model(self, station: str) -> ModelFolder:
        """What a station that trains leaves behind."""
        return ModelFolder(self.folder(station))

    def partial(self, station: str, fingerprint: str) -> Path:
        """Where a station works until it is done; the same inputs find it again after a kill."""
        return self.root / f".{station}-{fingerprint[:12]}.partial"

    def stamp(self, station: str) -> Path:
        """What a station was made from, written once it is done."""
        return self.root / f"{station}.stamp.json"

    @property
    def candidates(self) -> CandidatesFolder:
        return CandidatesFolder(self.root / "candidates")


class CandidatesFolder(Folder):
    """The runs of an exploration, one for each candidate, and what was found."""

    lock = _at(".lock")
    """Held while an exploration works."""
    findings = _Within("", Findings)
    """The report on all candidates."""

    def run(self, candidate: str) -> Run:
        return Run(self.root / candidate)

    def existing(self) -> list[Run]:
        """The runs of candidates that were explored."""
        return [Run(folder) for folder in sorted(self.root.glob("[!.]*")) if folder.is_dir()]

    def failure(self, candidate: str) -> Path:
        """Where the traceback of an unforeseen failure is kept."""
        return self.root / f"{candidate}.traceback.txt"
