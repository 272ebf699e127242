"""Archives as torch-model-archiver makes them, and archives of marwright with something changed."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from marwright.mar import layout

GOOD_HANDLER = """\
from ts.torch_handler.base_handler import BaseHandler

class Adder(BaseHandler):
    def preprocess(self, data):
        import torch
        return torch.ones(len(data), 2)
"""


class Adds(torch.nn.Module):
    """Adds one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def archived(folder: Path, handler: str, *, extra: Mapping[str, bytes] | None = None, config: str = "") -> Path:
    """Pack a tiny traced module with torch-model-archiver.

    Args:
        folder: an empty one.
        handler: source of ``handler.py``.
        extra: more files by name.
        config: text of a model-config.yaml; none if empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.trace(Adds(), torch.ones(1, 2)).save(str(folder / "adder.pt"))
    (folder / "handler.py").write_text(handler, encoding="utf-8")
    command = ["--model-name", "adder", "--version", "1.0", "--serialized-file", "adder.pt", "--handler", "handler.py"]
    for name, data in (extra or {}).items():
        (folder / name).write_bytes(data)
    if extra:
        command += ["--extra-files", ",".join(extra)]
    if config:
        (folder / "model-config.yaml").write_text(config, encoding="utf-8")
        command += ["--config-file", "model-config.yaml"]
    program = "from model_archiver.model_packaging import generate_model_archive; generate_model_archive()"
    subprocess.run([sys.executable, "-c", program, *command], cwd=folder, check=True, capture_output=True)
    return folder / "adder.mar"


def changed(archive: Path, file: Path, files: Mapping[str, bytes | None]) -> Path:
    """Copy an archive with other files in it; ``None`` leaves one out. Its hashes are not brought up to date."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(file, "w") as new:
        for name in dict.fromkeys([*old.namelist(), *files]):
            data = files[name] if name in files else old.read(name)
            if data is not None:
                new.writestr(name, data)
    return file


def minimal(file: Path, files: Mapping[str, bytes], *, config: str | None = None, handler: str = GOOD_HANDLER) -> Path:
    """Pack files with a handler and nothing else, quickly."""
    manifest = {"model": {"modelName": "adder", "modelVersion": "1.0", "handler": "handler.py", "configFile": config}}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(layout.MANIFEST, json.dumps(manifest))
        archive.writestr("handler.py", handler)
        for name, data in files.items():
            archive.writestr(name, data)
    return file
