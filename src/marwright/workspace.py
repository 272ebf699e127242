"""Every file name of a run, declared once.

A run lives in ``runs/NAME``; each station owns one folder of it. The archive goes to the model store.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marwright.files import read_json
from marwright.runtimes import RUNTIMES

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class DataFolder:
    """Cleaned, divided rows: what the data station leaves behind."""

    root: Path

    @property
    def splits(self) -> Path:
        """A ``datasets.DatasetDict`` with columns ``text`` and ``label`` (a ``ClassLabel``)."""
        return self.root / "splits"

    @property
    def labels(self) -> Path:
        """The label names, a JSON list in the order of their ids."""
        return self.root / "labels.json"

    @property
    def card(self) -> Path:
        """What is in the data, and how many rows were left out and why."""
        return self.root / "card.json"

    @property
    def left_out(self) -> Path:
        """Every row that was left out, with its place and reason."""
        return self.root / "left_out.csv"

    def counted_as_wrong(self, split: str = "test") -> dict[str, int]:
        """How many more rows than the split holds count as wrong answers, by label, since no train row has it.

        ``data.unseen_labels: count_as_wrong`` leaves them out of the split, where they would need a label id that no
        model has; every accuracy still has them in its denominator. There are none in other splits than test.
        """
        found: dict[str, int] = read_json(self.card).get("counted_as_wrong", {}) if split == "test" else {}
        return found


@dataclass(frozen=True)
class ModelFolder:
    """A trained model in Hugging Face's layout, with its answers on every split."""

    root: Path

    @property
    def checkpoint(self) -> Path:
        """Loadable with ``AutoModelForSequenceClassification``; a Bi-LSTM after ``modules.bilstm.register()``."""
        return self.root / "checkpoint"

    @property
    def tokenizer(self) -> Path:
        """The one ``tokenizer.json``: normalisation, word pieces, truncation and special tokens."""
        return self.root / "tokenizer.json"

    @property
    def metrics(self) -> Path:
        """Accuracy, macro-F1 and weighted F1 on validation and test, and the seconds it took."""
        return self.root / "metrics.json"

    @property
    def history(self) -> Path:
        """One entry per epoch: losses and validation scores."""
        return self.root / "history.json"

    @property
    def curves(self) -> Path:
        """The same as a picture."""
        return self.root / "curves.png"

    def logits(self, split: str) -> Path:
        """Float32 logits, one row per text of the split, in the split's order."""
        return self.root / f"logits_{split}.npy"


@dataclass(frozen=True)
class CompressedFolder:
    """The student's weights in the precision of each device."""

    root: Path

    @property
    def cpu(self) -> Path:
        """Weights of the module that runs on CPUs."""
        return self.root / "cpu.safetensors"

    @property
    def gpu(self) -> Path:
        """Weights of the module that runs on GPUs; absent when none was asked for."""
        return self.root / "gpu.safetensors"

    @property
    def plan(self) -> Path:
        """Which layers have which precision, and the sizes before and after."""
        return self.root / "compression.json"


@dataclass(frozen=True)
class ExportedFolder:
    """The modules that are served and the proof that they answer as the model they were made from."""

    root: Path

    def module(self, runtime: str) -> Path:
        """The module for CPUs that a runtime computes; a folder has one of them."""
        return self.root / RUNTIMES[runtime].module_file

    @property
    def cpu(self) -> Path:
        """The module for CPUs that is there."""
        there = (self.module(runtime) for runtime in RUNTIMES)
        return next((file for file in there if file.is_file()), self.module("torchscript"))

    @property
    def gpu(self) -> Path:
        """The module for GPUs; absent when none was asked for."""
        return self.root / "model_gpu.pt"

    @property
    def token_lengths(self) -> Path:
        """How many train rows have which number of tokens; absent when there is no module for GPUs."""
        return self.root / "token_lengths.json"

    @property
    def golden(self) -> Path:
        """Texts with the probabilities that the exported module gave them."""
        return self.root / "golden_requests.json"

    @property
    def card(self) -> Path:
        """Parity, accuracy and calibration of the exported module."""
        return self.root / "card.json"

    def logits(self, split: str) -> Path:
        """Float32 logits of the CPU module for the validation or the test split, one row per text, in its order."""
        return self.root / f"logits_{split}.npy"

    @property
    def latency(self) -> Path:
        """Milliseconds of the exported module on this machine, which are others every time they are measured."""
        return self.root / "latency.json"


@dataclass(frozen=True)
class MeasuredFolder:
    """The memory that the exported module needs."""

    root: Path

    @property
    def memory(self) -> Path:
        """Peak memory of a fresh process that loads the module and runs it."""
        return self.root / "memory.json"


@dataclass(frozen=True)
class Run:
    """All folders of one run."""

    root: Path

    def folder(self, station: str) -> Path:
        """The folder that a station owns."""
        return self.root / station

    def partial(self, station: str, fingerprint: str) -> Path:
        """Where a station works until it is done; the same inputs find it again after a kill."""
        return self.root / f".{station}-{fingerprint[:12]}.partial"

    def stamp(self, station: str) -> Path:
        """What a station was made from, written once it is done."""
        return self.root / f"{station}.stamp.json"

    @property
    def lock(self) -> Path:
        """Held while a build works on this run."""
        return self.root / ".lock"

    @property
    def data(self) -> DataFolder:
        return DataFolder(self.folder("data"))

    @property
    def teacher(self) -> ModelFolder:
        return ModelFolder(self.folder("teacher"))

    @property
    def student(self) -> ModelFolder:
        return ModelFolder(self.folder("student"))

    def model(self, station: str) -> ModelFolder:
        """What a station that trains leaves behind."""
        return ModelFolder(self.folder(station))

    @property
    def compressed(self) -> CompressedFolder:
        return CompressedFolder(self.folder("compressed"))

    @property
    def exported(self) -> ExportedFolder:
        return ExportedFolder(self.folder("exported"))

    @property
    def measured(self) -> MeasuredFolder:
        return MeasuredFolder(self.folder("measured"))

    @property
    def suspects(self) -> Path:
        """Train rows that look mislabelled, the most suspicious first; absent until a report is made."""
        return self.root / "suspects.csv"

    @property
    def about_suspects(self) -> Path:
        """How many rows were looked at for it."""
        return self.root / "suspects.json"

    @property
    def findings(self) -> Findings:
        """The report on this run alone."""
        return Findings(self.root)

    @property
    def candidates(self) -> CandidatesFolder:
        return CandidatesFolder(self.root / "candidates")


@dataclass(frozen=True)
class Findings:
    """What is told about a run, or about several that were measured together."""

    root: Path

    @property
    def timings(self) -> Path:
        """Milliseconds of the exported modules, measured in turns."""
        return self.root / "timings.json"

    @property
    def report(self) -> Path:
        """One page for people."""
        return self.root / "report.html"

    @property
    def numbers(self) -> Path:
        """The same for programs."""
        return self.root / "report.json"


@dataclass(frozen=True)
class CandidatesFolder:
    """The runs of an exploration, one for each candidate, and what was found."""

    root: Path

    def run(self, candidate: str) -> Run:
        """The run of a candidate."""
        return Run(self.root / candidate)

    def existing(self) -> list[Run]:
        """The runs of candidates that were explored."""
        return [Run(folder) for folder in sorted(self.root.glob("[!.]*")) if folder.is_dir()]

    def failure(self, candidate: str) -> Path:
        """Where the traceback of an unforeseen failure is kept."""
        return self.root / f"{candidate}.traceback.txt"

    @property
    def lock(self) -> Path:
        """Held while an exploration works."""
        return self.root / ".lock"

    @property
    def findings(self) -> Findings:
        """The report on all candidates."""
        return Findings(self.root)
