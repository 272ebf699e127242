"""Writes .mar files: every name once, every hash recorded, the same bytes for the same files."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from marwright.errors import ArchiveError
from marwright.files import replacing, stable_json
from marwright.mar import layout

# The earliest and the latest second a zip file can hold: 1980-01-01 and 2107-12-31.
ZIP_EPOCH = 315532800
ZIP_END = 4354819199


class Contents:
    """The files of an archive to be, by name; a name can be taken once."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def add(self, name: str, data: bytes | str | Path) -> None:
        """Add a file.

        Args:
            name: in the archive, without folders: TorchServe's own archiver flattens them.
            data: bytes, text (written as UTF-8), or the file that has them.

        Raises:
            ArchiveError: the name is taken or has a folder, or the file cannot be read. Two files of one name would
                silently become one.
        """
        if name in self._files or name == layout.HASHES:
            raise ArchiveError(
                f"{data if isinstance(data, Path) else name}: the archive already has a file {name}; rename one"
            )
        if PurePosixPath(name).name != name or name in ("", "..") or "\\" in name or name.endswith(".pyc"):
            raise ArchiveError(f"{name!r}: not a name for a file in an archive")
        if isinstance(data, Path):
            try:
                self._files[name] = data.read_bytes()
            except OSError as error:
                raise ArchiveError(f"{data}: cannot be read: {error.strerror or error}") from error
        else:
            self._files[name] = data.encode("utf-8") if isinstance(data, str) else data

    def __contains__(self, name: str) -> bool:
        return name in self._files

    @property
    def files(self) -> Mapping[str, bytes]:
        """All files added so far."""
        return self._files


def pack(
    contents: Contents,
    file: Path,
    *,
    name: str,
    version: str,
    handler: str,
    module: str = layout.CPU_MODULE,
    model_file: str | None = None,
    requirements: str | None = None,
    config: str | None = layout.MODEL_CONFIG,
) -> None:
    """Write an archive.

    Args:
        contents: all files but the manifest and the hashes, which are added.
        file: the .mar file; it appears whole or not at all.
        name: of the model.
        version: of the model.
        handler: the name of the handler's file in ``contents``, ``FILE.py:FUNCTION``, or one of TorchServe's own.
        module: the name of the CPU's module in it.
        model_file: the name of the file in it with the class of the module's weights.
        requirements: the name of the file in it with packages that TorchServe may install.
        config: the name of the file in it with TorchServe's settings for the model.

    Raises:
        ArchiveError: one of them is not among the contents.
    """
    file_of_handler = handler.partition(":")[0]
    own = file_of_handler if file_of_handler.endswith(".py") else None
    for needed in (own, module, model_file, requirements, config):
        if needed is not None and needed not in contents:
            raise ArchiveError(f"{file}: the archive would lack {needed}")
    files = dict(contents.files)
    files[layout.MANIFEST] = manifest(
        name=name,
        version=version,
        handler=handler,
        module=module,
        model_file=model_file,
        requirements=requirements,
        config=config,
    ).encode("utf-8")
    hashes = {entry: hashlib.sha256(data).hexdigest() for entry, data in files.items()}
    files[layout.HASHES] = stable_json(hashes).encode("utf-8")
    with replacing(file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for entry in sorted(files):
            info = zipfile.ZipInfo(entry, time.gmtime(source_date())[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3  # Unix, wherever it is built
            archive.writestr(info, files[entry])


def manifest(
    *,
    name: str,
    version: str,
    handler: str,
    module: str,
    model_file: str | None = None,
    requirements: str | None = None,
    config: str | None = layout.MODEL_CONFIG,
) -> str:
    """The manifest as torch-model-archiver writes it, with a fixed date in place of the local time."""
    from model_archiver.model_archiver_config import ModelArchiverConfig
    from model_archiver.model_packaging_utils import ModelExportUtils

    described = ModelArchiverConfig(
        model_name=name,
        handler=handler,
        version=version,
        serialized_file=module,
        model_file=model_file,
        requirements_file=requirements,
        config_file=config,
    )
    fields = json.loads(ModelExportUtils.generate_manifest_json(described))
    fields["createdOn"] = time.strftime("%d/%m/%Y %H:%M:%S", time.gmtime(source_date()))
    return stable_json(fields)


def source_date() -> int:
    """Seconds since 1970 that all dates in the archive show (https://reproducible-builds.org/specs/source-date-epoch).

    Raises:
        ArchiveError: SOURCE_DATE_EPOCH is no such number.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH") or str(ZIP_EPOCH)
    if not (given.isascii() and given.isdecimal()) or len(given) > 20 or int(given) > ZIP_END:
        raise ArchiveError(f"SOURCE_DATE_EPOCH={given}: give seconds since 1970, before the year 2108")
    return max(ZIP_EPOCH, int(given))
