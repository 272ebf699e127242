"""Opens .mar files made by marwright or by anybody else."""

from __future__ import annotations

import json
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from marwright.archive import layout
from marwright.errors import ArchiveError

# More than any classifier needs, less than a disk.
LARGEST_UNPACKED = 8 << 30


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
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise ArchiveError(f"{file}: damaged: {error}. Build it again.") from error
        yield Path(folder)


def describe(file: Path) -> dict[str, Any]:
    """What an archive says of itself: manifest, settings, card and files with their sizes.

    Raises:
        ArchiveError: it cannot be read, or has no manifest.
    """
    with _opened(file) as archive:

        def parsed(name: str) -> Any:
            return json.loads(archive.read(name)) if name in archive.namelist() else None

        try:
            manifest = parsed(layout.MANIFEST)
            setup, card, labels = parsed(layout.SETUP), parsed(layout.CARD), parsed(layout.LABELS)
            config = manifest["model"].get("configFile") if manifest else None
            return {
                "file": str(file),
                "bytes": file.stat().st_size,
                "manifest": manifest,
                "model_config": yaml.safe_load(archive.read(config)) if config else None,
                "setup": setup,
                "labels": len(labels) if labels else None,
                "card": card,
                "files": {info.filename: info.file_size for info in archive.infolist()},
            }
        except (ValueError, KeyError, TypeError, yaml.YAMLError, zipfile.BadZipFile) as error:
            raise ArchiveError(f"{file}: {type(error).__name__} while reading its description: {error}") from error


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    if not file.is_file():
        raise ArchiveError(f"{file}: no such archive. Build one with `marwright build`.")
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{file}: not a .mar archive (a zip file): {error}") from error
    with archive:
        names = archive.namelist()
        if len(names) != len(set(names)):
            raise ArchiveError(f"{file}: a name stands twice in it")
        for info in archive.infolist():
            path = PurePosixPath(info.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(info.external_attr >> 16):
                raise ArchiveError(f"{file}: {info.filename!r} would leave the folder it is unpacked to")
        if sum(info.file_size for info in archive.infolist()) > LARGEST_UNPACKED:
            raise ArchiveError(f"{file}: it would unpack to more than {LARGEST_UNPACKED >> 30} GiB")
        if layout.MANIFEST not in names:
            raise ArchiveError(f"{file}: it has no {layout.MANIFEST}; TorchServe would refuse it")
        yield archive
