"""The files inside a zip file, as every reader finds them: one after another, whatever their names."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO

from marwright.checks.budget import Budget, OverBudget
from marwright.formats.signatures import ZIP
from marwright.mar.local_headers import directory_of

_HEADER = struct.Struct("<4s22xHH")
# Of a hundred thousand files with short names; Python keeps about fifteen times as much of it in memory.
_LARGEST_DIRECTORY = 8 << 20
# What stays in memory of an unpacked file.
_IN_MEMORY = 1 << 20


class UnlikeZip(Exception):
    """It is no zip file to some readers, or another one."""


@contextmanager
def opened(stream: BinaryIO, budget: Budget) -> Iterator[zipfile.ZipFile]:
    """Open a zip file whose directory is where it says it is.

    Raises:
        UnlikeZip: some readers would take another part of it for its directory, or none.
        OverBudget: it lists too much.
    """
    directory = directory_of(stream)
    if directory is None or directory.behind != 0 or directory.start + directory.size != directory.end:
        raise UnlikeZip("its directory is not at its end, or not where it says")
    if directory.size > _LARGEST_DIRECTORY:
        raise OverBudget("it lists more files than can be looked through")
    budget.spend(items=directory.size // 46)
    with zipfile.ZipFile(stream) as archive:
        if archive.start_dir != directory.start:
            raise UnlikeZip("readers find different directories in it")
        yield archive


@contextmanager
def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Iterator[BinaryIO]:
    """Open one of the files, so that it can be read from any place.

    What is stored as it is, is read where it is; the rest is unpacked and paid for.

    Raises:
        UnlikeZip: it is encrypted.
        OverBudget: it unpacks to too much.
    """
    if info.flag_bits & 1:
        raise UnlikeZip(f"{info.filename} is encrypted")
    if info.compress_type == zipfile.ZIP_STORED:
        yield io.BufferedReader(_Window(archive, info))
        return
    budget.spend(size=info.file_size)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy, archive.open(info) as packed:
        shutil.copyfileobj(packed, copy)
        copy.seek(0)
        yield copy  # type: ignore[misc]


class _Window(io.RawIOBase):
    """A part of a zip file as a file of its own."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        assert archive.fp is not None
        self._stream: IO[bytes] = archive.fp
        self._stream.seek(info.header_offset)
        header = self._stream.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(ZIP):
            raise UnlikeZip(f"{info.filename} is not where the directory says")
        _, name, extra = _HEADER.unpack(header)
        self._start = info.header_offset + _HEADER.size + name + extra
        self._size, self._at = info.compress_size, 0
        if self._start + self._size > archive.start_dir:
            raise UnlikeZip(f"{info.filename} is longer than the file")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = max(0, min(len(buffer), self._size - self._at))
        self._stream.seek(self._start + self._at)
        data = self._stream.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
