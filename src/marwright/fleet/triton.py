"""A model repository for NVIDIA's Triton Inference Server."""

from __future__ import annotations

import shutil
from pathlib import Path

from marwright.config import ArchiveConfig
from marwright.errors import ExportError
from marwright.files import filling, read_json, stable_json, write_text
from marwright.fleet.finished import temperature_of
from marwright.fleet.triton_config import classifier_config, module_config
from marwright.runtimes import RUNTIMES
from marwright.workspace import ModelFolder, Run

STEP = Path(__file__).with_name("triton_model.py")
LABELS_FILE = "labels.txt"


def export_triton(
    run: Run, model: ModelFolder, archive: ArchiveConfig, name: str, folder: Path, version: int = 1
) -> None:
    """Write a model repository of two models.

    ``NAME_module`` is the exported module. ``NAME`` takes texts: a Python step with the tokenizer, which gathers
    requests, asks the module once for all of them and gives the best labels. It is no ensemble, since Triton batches
    requests of equal shapes only, and texts have different lengths: only who sees a whole batch can pad it.

    The folder is absent or empty. ``version`` is the number of the folders that hold this version's files.

    Raises:
        ExportError: the run has a handler of its own or a module that Triton cannot run, or the version is no positive
            number.
        MarwrightError: the folder has something in it, or cannot be written.
    """
    if archive.handler is not None:
        raise ExportError(
            f"{archive.handler}: a handler of TorchServe's; a repository for Triton classifies texts only."
        )
    if version < 1:
        raise ExportError(f"version {version}: Triton counts versions from 1")
    labels = read_json(run.data.labels)
    runtime = read_json(run.exported.card)["runtime"]
    backend = RUNTIMES[runtime].triton
    if backend is None:
        raise ExportError(
            f"Triton has nothing that computes modules for {runtime}: build it with another export.runtime."
        )
    module, top_k = f"{name}_module", min(archive.top_k, len(labels))
    with filling(folder) as partial:
        step = partial / name / str(version)
        step.mkdir(parents=True)
        write_text(partial / name / "config.pbtxt", classifier_config(name, archive, top_k))
        shutil.copyfile(STEP, step / "model.py")
        shutil.copyfile(model.tokenizer, step / "tokenizer.json")
        settings = {
            "labels": labels,
            "max_characters": archive.max_characters,
            "temperature": temperature_of(run),
            "module": {"name": module, "inputs": backend.inputs, "output": backend.output},
            "top_k": top_k,
        }
        write_text(step / "settings.json", stable_json(settings))

        file = run.exported.module(runtime)
        (partial / module / str(version)).mkdir(parents=True)
        shutil.copyfile(file, partial / module / str(version) / file.name)
        # One label a line, by id: Triton's own classification extension reads it.
        write_text(partial / module / LABELS_FILE, "".join(f"{' '.join(label.split())}\n" for label in labels))
        config = module_config(module, archive, backend, len(labels), LABELS_FILE)
        write_text(partial / module / "config.pbtxt", config)
