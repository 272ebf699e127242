"""What is made from one run for the servers to serve, each thing once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compare import model_folder
from marwright.files import read_json
from marwright.workspace import ModelFolder, Run

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

    def archive(self, name: str) -> Path:
        return self.folder / "model_store" / f"{name}.mar"

    def onnx(self) -> Path:
        """The folder that the Python servers load: the teacher in int8, its tokenizer and its labels."""
        from marwright.runtimes.onnx_files import export_float, quantize

        folder, full = self.folder / "onnx", self.folder / "float.onnx"
        if not folder.exists():
            folder.mkdir()
            export_float(self.run.teacher.checkpoint, full)
            quantize(full, folder / model_folder.MODEL)
            full.unlink()
            shutil.copy(self.run.teacher.tokenizer, folder / model_folder.TOKENIZER)
            shutil.copy(self.run.data.labels, folder / model_folder.LABELS)
        return folder

    def exported(self, model: ModelFolder) -> Run:
        """A run whose student is ``model``, compressed and exported by marwright's stations, for CPUs only."""
        from marwright.compression.station import compress
        from marwright.config import CompressionConfig, ExportConfig
        from marwright.export.station import export

        run = Run(self.folder / f"run-{model.root.name}")
        for folder in (run.compressed.root, run.exported.root):
            folder.mkdir(parents=True)
        for link, target in ((run.data, self.run.data), (run.teacher, self.run.teacher), (run.student, model)):
            link.root.symlink_to(target.root.absolute(), target_is_directory=True)
        compress(CompressionConfig(gpu="none"), ExportConfig(), run.data, run.student, output=run.compressed.root)
        length = read_json(model.tokenizer)["truncation"]["max_length"]
        export(ExportConfig(), run.data, run.student, run.compressed, max_length=length, output=run.exported.root)
        return run
