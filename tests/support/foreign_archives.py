"""Archives as torch-model-archiver makes them, and archives of marwright with something changed."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import torch
from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_packaging import generate_model_archive

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
    for name, data in (extra or {}).items():
        (folder / name).write_bytes(data)
    if config:
        (folder / "model-config.yaml").write_text(config, encoding="utf-8")
    settings = ModelArchiverConfig(
        model_name="adder",
        version="1.0",
        serialized_file=str(folder / "adder.pt"),
        handler=str(folder / "handler.py"),
        extra_files=",".join(str(folder / name) for name in extra or {}) or None,
        config_file=str(folder / "model-config.yaml") if config else None,
        export_path=str(folder),
    )
    # It gathers the files in a folder named after the model, which other tests would have too.
    with tempfile.TemporaryDirectory(dir=folder) as scratch, mock.patch.object(tempfile, "tempdir", scratch):
        generate_model_archive(settings)
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
