"""Opens .mar files made by marwright or by anybody else."""

from __future__ import annotations

import errno
import io
import json
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from marwright.errors import ArchiveError
from marwright.mar import layout
from marwright.mar.local_headers import differently_read, directory_of

# More than any classifier needs, less than a disk.
LARGEST_UNPACKED = 8 << 30
# Weights hardly shrink when they are packed; what unpacks to so many times its size was made to fill a disk.
LARGEST_RATIO = 100
MOST_FILES = 10_000
# From this size on, ten times its own size is the most.
_MUCH_UNPACKED, _RATIO_OF_MUCH = 1 << 30, 10
# What describes an archive is small; parsed, it takes twenty times the memory.
LARGEST_DESCRIPTION = 4 << 20
_LARGEST_DIRECTORY = MOST_FILES * 512

# What zipfile raises for bytes that are no longer those that were written, and for what it does not support.
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError)
# All that TorchServe can unpack.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def unpacked(file: Path, data: bytes | None = None) -> Iterator[Path]:
    """Unpack an archive into a private folder, which is removed afterwards.

    ``data`` are its bytes, where they have been looked at already: the file may have changed since.

    Raises:
        ArchiveError: it is no zip file or damaged, has links or names that would leave the folder, a name twice, an
            absurd size, or files that TorchServe would find and others not; or there is no room for it.
    """
    with _opened(file, data) as archive, tempfile.TemporaryDirectory(prefix="marwright-") as folder:
        try:
            archive.extractall(folder)
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise ArchiveError(f"{file}: no room to unpack it in {folder}. Set TMPDIR to a larger disk.") from error
            raise ArchiveError(f"{file}: damaged: {error}. Build it again.") from error
        yield Path(folder)


def manifest_in(folder: Path, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest's model of an unpacked archive, and the settings that it names; none are an empty mapping.

    Raises:
        ArchiveError: the manifest does not name a model and its handler, or the settings cannot be read.
    """
    with _description_of(file):
        model = _model_in(description_in(folder, layout.MANIFEST))
        config = model.get("configFile")
        if not config:
            return model, {}
        if not (folder / config).resolve().is_relative_to(folder.resolve()):
            raise KeyError(f"{config} is not in the archive")
        return model, _settings_in(_bounded(folder / config)) or {}


def description_in(folder: Path, name: str) -> Any:
    """Parse one of the JSON files that describe an unpacked archive.

    Raises:
        ValueError: it is not JSON, or larger than any description is.
        OSError: there is no such file.
        RecursionError: it is nested too deeply.
    """
    return json.loads(_bounded(folder / name))


def _bounded(file: Path) -> bytes:
    if file.stat().st_size > LARGEST_DESCRIPTION:
        raise ValueError(f"{file.name} is larger than {LARGEST_DESCRIPTION >> 20} MB")
    return file.read_bytes()


def describe(file: Path) -> dict[str, Any]:
    """What an archive says of itself: manifest, settings, card and files with their sizes.

    Raises:
        ArchiveError: it cannot be read, or its manifest does not name a model and its handler.
    """
    with _opened(file) as archive, _description_of(file):

        def parsed(name: str) -> Any:
            return json.loads(_read(archive, name)) if name in archive.namelist() else None

        manifest, labels = parsed(layout.MANIFEST), parsed(layout.LABELS)
        config = _model_in(manifest).get("configFile")
        return {
            "file": str(file),
            "bytes": file.stat().st_size,
            "manifest": manifest,
            "model_config": _settings_in(_read(archive, config)) if config else None,
            "setup": parsed(layout.SETUP),
            "labels": len(labels) if labels else None,
            "card": parsed(layout.CARD),
            "files": {info.filename: info.file_size for info in archive.infolist()},
        }


def member_of(file: Path, name: str, largest: int = LARGEST_DESCRIPTION) -> bytes | None:
    """One file of an archive; None if it has none of that name.

    Raises:
        ArchiveError: the archive cannot be read, or the file has more than ``largest`` bytes.
    """
    with _opened(file) as archive, _description_of(file):
        return _read(archive, name, largest) if name in archive.namelist() else None


def _read(archive: zipfile.ZipFile, name: str, largest: int = LARGEST_DESCRIPTION) -> bytes:
    if archive.getinfo(name).file_size > largest:
        raise ValueError(f"{name} is larger than {largest >> 20} MB")
    return archive.read(name)


@contextmanager
def _description_of(file: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, RecursionError, *_DAMAGE) as error:
        reason = " ".join(str(error).split())
        raise ArchiveError(f"{file}: {type(error).__name__} while reading its description: {reason}") from error


def _model_in(manifest: Any) -> dict[str, Any]:
    model: dict[str, Any] = manifest["model"]
    # Neither a null byte nor half a character gets as far as a worker.
    if not all(isinstance(model[key], str) and model[key].isprintable() for key in ("modelName", "handler")):
        raise TypeError("the manifest must name a model and its handler, in printable characters")
    return model


def _settings_in(text: bytes) -> dict[str, Any] | None:
    # Here, because who only unpacks an archive, as marwright.load does, needs no PyYAML.
    from yaml import YAMLError

    from marwright.formats import bounded_yaml

    try:
        settings = bounded_yaml.parsed(text.decode("utf-8"))[1]
    except YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(settings, dict | None):
        raise TypeError("the model's configuration must be settings as `key: value`")
    return settings


@contextmanager
def _opened(file: Path, data: bytes | None = None) -> Iterator[zipfile.ZipFile]:
    if data is None and not file.is_file():
        raise ArchiveError(f"{file}: no such archive. Build one with `marwright build`.")
    try:
        with file.open("rb") if data is None else io.BytesIO(data) as stream:
            directory = directory_of(stream)
        if directory is None:
            raise zipfile.BadZipFile("it has no directory at its end")
        if directory.size > _LARGEST_DIRECTORY:
            raise ArchiveError(f"{file}: it has more than {MOST_FILES:,} files")
        archive = zipfile.ZipFile(file if data is None else io.BytesIO(data))
    except _DAMAGE as error:
        raise ArchiveError(f"{file}: not a .mar archive (a zip file): {error}") from error
    with archive:
        try:
            refusal = next(_refusals(archive, file.stat().st_size if data is None else len(data)), None)
        except _DAMAGE as error:
            raise ArchiveError(f"{file}: damaged: {error}. Build it again.") from error
        if refusal is not None:
            raise ArchiveError(f"{file}: {refusal}")
        yield archive


def _refusals(archive: zipfile.ZipFile, size: int) -> Iterator[str]:
    """Why an archive must not be unpacked; ``size`` is its own, in bytes."""
    names, infos = archive.namelist(), archive.infolist()
    if len(names) > MOST_FILES:
        yield f"it has more than {MOST_FILES:,} files"
    if len(names) != len({PurePosixPath(name) for name in names}):
        yield "a name stands twice in it"
    for info in infos:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(info.external_attr >> 16):
            yield f"{info.filename!r} would leave the folder it is unpacked to"
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            yield f"{info.filename!r} is encrypted, or compressed in a way that TorchServe cannot read"
    unpacked_size = sum(info.file_size for info in infos)
    if unpacked_size > LARGEST_UNPACKED:
        yield f"it would unpack to more than {LARGEST_UNPACKED >> 30} GiB"
    if unpacked_size > LARGEST_RATIO * max(size, 1 << 20):
        yield f"it would unpack to more than {LARGEST_RATIO} times its size"
    if unpacked_size > max(_MUCH_UNPACKED, _RATIO_OF_MUCH * size):
        yield f"it would unpack to more than {_MUCH_UNPACKED >> 30} GiB, and {_RATIO_OF_MUCH} times its size"
    if layout.MANIFEST not in names:
        yield f"it has no {layout.MANIFEST}; TorchServe would refuse it"
    if (different := differently_read(archive)) is not None:
        yield f"TorchServe would unpack it otherwise: {different}. Pack it again."
