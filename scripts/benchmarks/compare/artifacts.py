"""What is made from one run for the servers to serve, each thing once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compare import model_folder
from marwright.files import read_json
from marwright.workspace import CompressedFolder, ModelFolder, Run

Weights = Literal["teacher", "student", "student-pruned"]
"""Whose: those of the run, and of its candidate of this name, which has lost heads and neurons."""


def trained(run: Run, weights: Weights) -> ModelFolder:
    """The model of a run with these weights, whether it is there or not."""
    return run.candidates.run(weights).model("pruned") if weights == "student-pruned" else run.model(weights)


@dataclass(frozen=True)
class Artifacts:
    """A finished run, which is only read, and a folder of our own."""

    run: Run
    folder: Path

    @property
    def store(self) -> Path:
        """The model store with all archives."""
        return self.folder / "model_store"

    def archive(self, name: str) -> Path:
        """An archive of the store."""
        return self.store / f"{name}.mar"

    def onnx(self) -> Path:
        """The folder that the Python servers load: the teacher in int8, its tokenizer and its labels."""
        from marwright.runtimes.onnx_files import export_float, quantize

        ready = self.folder / "onnx"
        if not ready.exists():
            making = self.folder / "onnx.partial"
            making.mkdir(parents=True, exist_ok=True)
            full = self.folder / "float.onnx"
            export_float(self.run.teacher.checkpoint, full)
            quantize(full, making / model_folder.MODEL)
            full.unlink()
            shutil.copy(self.run.teacher.tokenizer, making / model_folder.TOKENIZER)
            shutil.copy(self.run.data.labels, making / model_folder.LABELS)
            making.rename(ready)
        return ready

    def exported(self, model: ModelFolder) -> Run:
        """A run whose student is ``model``, compressed and exported by marwright's stations, for CPUs only."""
        from marwright.compression.station import compress
        from marwright.config import CompressionConfig, ExportConfig
        from marwright.export.station import export

        run = Run(self.folder / f"run-{model.root.name}")
        if run.root.exists():
            return run
        making = Run(run.root.with_name(f"{run.root.name}.partial"))
        folders = [
            (making.data.root, self.run.data.root),
            (making.teacher.root, self.run.teacher.root),
            (making.student.root, model.root),
        ]
        for folder in (making.compressed.root, making.exported.root):
            folder.mkdir(parents=True)
        for link, target in folders:
            link.symlink_to(target.absolute(), target_is_directory=True)
        compress(
            CompressionConfig(gpu="none"), ExportConfig(), making.data, making.student, output=making.compressed.root
        )
        export(
            ExportConfig(),
            making.data,
            making.student,
            CompressedFolder(making.compressed.root),
            # Where the tokenizer cuts a text.
            max_length=int(read_json(model.tokenizer)["truncation"]["max_length"]),
            output=making.exported.root,
        )
        making.root.rename(run.root)
        return run
