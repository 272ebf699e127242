"""Writes .mar files: every name once, every hash recorded, the same bytes for the same files."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from marwright.errors import ArchiveError
from marwright.files import replacing, stable_json
from marwright.mar import layout
from marwright.mar.handler_modules import handler_modules

# The earliest and the latest second a zip file can hold: 1980-01-01 and 2107-12-31.
ZIP_EPOCH = 315532800
ZIP_END = 4354819199


class Contents:
    """The files of an archive to be, by name; a name can be taken once."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def add(self, name: str, data: bytes | str | Path) -> None:
        """Add a file: bytes, text (written as UTF-8), or the file that has them.

        The name has no folders, since TorchServe's own archiver flattens them.

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

    def add_handler(self, handler: Path, runtimes: Iterable[str] = (), given: Iterable[Path] = ()) -> None:
        """Add a handler and the modules that it needs, which may be among the files that were ``given`` already.

        ``runtimes`` are modules that it loads by name.

        Raises:
            ArchiveError: it is missing or not Python, or a name is taken.
        """
        self.add(handler.name, handler)
        there = {file.resolve() for file in given}
        for module in handler_modules(handler, runtimes):
            if module.resolve() not in there:
                self.add(module.name, module)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    @property
    def files(self) -> Mapping[str, bytes]:
        """All files added so far."""
        return self._files


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the manifest of an archive says.

    Attributes:
        handler: the name of the handler's file, ``FILE.py:FUNCTION``, or one of TorchServe's own.
        module: the name of the CPU's module.
        model_file: the name of the file with the class of the module's weights.
        requirements: the name of the file with packages that TorchServe may install.
        config: the name of the file with TorchServe's settings for the model.
    """

    name: str
    version: str
    handler: str
    module: str = layout.CPU_MODULE
    model_file: str | None = None
    requirements: str | None = None
    config: str | None = layout.MODEL_CONFIG

    def files(self) -> list[str]:
        """The files that it names."""
        handler = self.handler.partition(":")[0]
        own = handler if handler.endswith(".py") else None
        return [name for name in (own, self.module, self.model_file, self.requirements, self.config) if name]

    def as_json(self) -> str:
        """As torch-model-archiver writes it, with a fixed date in place of the local time."""
        from model_archiver.model_archiver_config import ModelArchiverConfig
        from model_archiver.model_packaging_utils import ModelExportUtils

        described = ModelArchiverConfig(
            model_name=self.name,
            handler=self.handler,
            version=self.version,
            serialized_file=self.module,
            model_file=self.model_file,
            requirements_file=self.requirements,
            config_file=self.config,
        )
        fields = json.loads(ModelExportUtils.generate_manifest_json(described))
        fields["createdOn"] = time.strftime("%d/%m/%Y %H:%M:%S", time.gmtime(source_date()))
        return stable_json(fields)


@contextmanager
def packed(contents: Contents, file: Path, manifest: Manifest) -> Iterator[Path]:
    """Write an archive beside its place, and move it there when the ``with`` block has proven it.

    If the block raises, whatever was there before stays. An ArchiveError of the block names the archive's own place.
    The manifest and the hashes are added to the contents.

    Raises:
        ArchiveError: a file that the manifest names is not there.
    """
    for needed in manifest.files():
        if needed not in contents:
            raise ArchiveError(f"{file}: the archive would lack {needed}")
    files = {**contents.files, layout.MANIFEST: manifest.as_json().encode("utf-8")}
    hashes = {entry: hashlib.sha256(data).hexdigest() for entry, data in files.items()}
    files[layout.HASHES] = stable_json(hashes).encode("utf-8")
    with replacing(file) as partial:
        try:
            _write(files, partial)
            yield partial
        except ArchiveError as error:
            raise ArchiveError(str(error).replace(str(partial), str(file))) from error


def pack(contents: Contents, file: Path, manifest: Manifest) -> None:
    """Write an archive that nothing has to prove; see :func:`packed`."""
    with packed(contents, file, manifest):
        pass


def _write(files: Mapping[str, bytes], file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for entry in sorted(files):
            info = zipfile.ZipInfo(entry, time.gmtime(source_date())[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3  # Unix, wherever it is built
            archive.writestr(info, files[entry])


def source_date() -> int:
    """Seconds since 1970 that all dates in the archive show (https://reproducible-builds.org/specs/source-date-epoch).

    Raises:
        ArchiveError: SOURCE_DATE_EPOCH is no such number.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH") or str(ZIP_EPOCH)
    if not (given.isascii() and given.isdecimal()) or len(given) > 20 or int(given) > ZIP_END:
        raise ArchiveError(f"SOURCE_DATE_EPOCH={given}: give seconds since 1970, before the year 2108")
    return max(ZIP_EPOCH, int(given))
