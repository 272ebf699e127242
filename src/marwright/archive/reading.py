"""Opens .mar files made by marwright or by anybody else."""

from __future__ import annotations

import json
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from marwright.archive import layout
from marwright.errors import ArchiveError

# More than any classifier needs, less than a disk.
LARGEST_UNPACKED = 8 << 30
# Weights hardly shrink when they are packed; what unpacks to so many times its size was made to fill a disk.
LARGEST_RATIO = 100

# What zipfile raises for bytes that are no longer those that were written, encrypted or compressed in another way.
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError)


@contextmanager
def unpacked(file: Path) -> Iterator[Path]:
    """Unpack an archive into a private folder, which is removed afterwards.

    Raises:
        ArchiveError: it is no zip file or damaged, has links or names that would leave the folder, a name twice, or an
            absurd size.
    """
    with _opened(file) as archive, tempfile.TemporaryDirectory(prefix="marwright-") as folder:
        try:
            archive.extractall(folder)
        except _DAMAGE as error:
            raise ArchiveError(f"{file}: damaged: {error}. Build it again.") from error
        yield Path(folder)


def describe(file: Path) -> dict[str, Any]:
    """What an archive says of itself: manifest, settings, card and files with their sizes.

    Raises:
        ArchiveError: it cannot be read, or its manifest does not name a model and its handler.
    """
    with _opened(file) as archive:

        def parsed(name: str) -> Any:
            return json.loads(archive.read(name)) if name in archive.namelist() else None

        try:
            manifest = parsed(layout.MANIFEST)
            setup, card, labels = parsed(layout.SETUP), parsed(layout.CARD), parsed(layout.LABELS)
            config = _model_in(manifest).get("configFile")
            return {
                "file": str(file),
                "bytes": file.stat().st_size,
                "manifest": manifest,
                "model_config": _settings_in(archive.read(config)) if config else None,
                "setup": setup,
                "labels": len(labels) if labels else None,
                "card": card,
                "files": {info.filename: info.file_size for info in archive.infolist()},
            }
        except (ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError, *_DAMAGE) as error:
            reason = " ".join(str(error).split())
            raise ArchiveError(f"{file}: {type(error).__name__} while reading its description: {reason}") from error


def _model_in(manifest: Any) -> dict[str, Any]:
    model: dict[str, Any] = manifest["model"]
    if not all(isinstance(model[key], str) for key in ("modelName", "handler")):
        raise TypeError("the manifest must name a model and its handler")
    return model


def _settings_in(text: bytes) -> dict[str, Any] | None:
    settings = yaml.safe_load(text)
    if not isinstance(settings, dict | None):
        raise TypeError("the model's configuration must be settings as `key: value`")
    return settings


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    if not file.is_file():
        raise ArchiveError(f"{file}: no such archive. Build one with `marwright build`.")
    try:
        archive = zipfile.ZipFile(file)
    except (ValueError, *_DAMAGE) as error:
        raise ArchiveError(f"{file}: not a .mar archive (a zip file): {error}") from error
    with archive:
        names = archive.namelist()
        if len(names) != len({PurePosixPath(name) for name in names}):
            raise ArchiveError(f"{file}: a name stands twice in it")
        for info in archive.infolist():
            path = PurePosixPath(info.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(info.external_attr >> 16):
                raise ArchiveError(f"{file}: {info.filename!r} would leave the folder it is unpacked to")
        unpacked_size = sum(info.file_size for info in archive.infolist())
        if unpacked_size > LARGEST_UNPACKED:
            raise ArchiveError(f"{file}: it would unpack to more than {LARGEST_UNPACKED >> 30} GiB")
        if unpacked_size > LARGEST_RATIO * max(file.stat().st_size, 1 << 20):
            raise ArchiveError(f"{file}: it would unpack to more than {LARGEST_RATIO} times its size")
        if layout.MANIFEST not in names:
            raise ArchiveError(f"{file}: it has no {layout.MANIFEST}; TorchServe would refuse it")
        yield archive
