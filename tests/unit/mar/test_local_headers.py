"""Archives that Python and TorchServe would unpack differently, and broken ones of every kind."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from marwright.errors import ArchiveError
from marwright.mar import layout
from marwright.mar.reading import describe, unpacked

MANIFEST = json.dumps({"model": {"modelName": "goods", "handler": "handler.py"}}).encode()
SHOWN, HIDDEN = b"print('harmless')\n" * 20, b"print('evil')\n" * 20
Entries = list[tuple[str, bytes]]
BOTH: Entries = [(layout.MANIFEST, MANIFEST), ("handler.py", SHOWN)]


class Unseekable(io.BytesIO):
    """Makes zipfile write sizes after the data, as Java and Go do."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError

    def seek(self, *_: int) -> int:
        raise OSError


def zipped(entries: Entries, *, method: int = zipfile.ZIP_DEFLATED, streamed: bool = False) -> bytes:
    stream = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return stream.getvalue()


def local(name: str, data: bytes) -> bytes:
    """A local header with its data, stored."""
    fields = (20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0)
    return struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields) + name.encode() + data


def with_shifted_directory(data: bytes, at: int, inserted: bytes) -> bytes:
    """Insert bytes, and move everything that the directory says of later places."""
    end = data.rindex(b"PK\x05\x06")
    directory = struct.unpack_from("<L", data, end + 16)[0]
    whole = bytearray(data)
    struct.pack_into("<L", whole, end + 16, directory + len(inserted))
    entry = directory
    while entry < end:
        name, extra, comment = struct.unpack_from("<3H", whole, entry + 28)
        offset = struct.unpack_from("<L", whole, entry + 42)[0]
        struct.pack_into("<L", whole, entry + 42, offset + (len(inserted) if offset >= at else 0))
        entry += 46 + name + extra + comment
    return bytes(whole[:at]) + inserted + bytes(whole[at:])


def directory_of(data: bytes) -> int:
    return int(struct.unpack_from("<L", data, data.rindex(b"PK\x05\x06") + 16)[0])


def hidden_before_the_directory() -> bytes:
    data = zipped(BOTH)
    return with_shifted_directory(data, directory_of(data), local("handler.py", HIDDEN))


def hidden_between_two() -> bytes:
    data = zipped(BOTH)
    return with_shifted_directory(data, data.rindex(b"PK\x03\x04"), local("other.py", HIDDEN))


def hidden_in_stored_data() -> bytes:
    """The local header says that the file is shorter than the directory has it; a second header is in what follows."""
    data = bytearray(zipped([*BOTH, ("notes.txt", b"short" + local("handler.py", HIDDEN))], method=0))
    header = data.index(b"PK\x03\x04", data.index(b"notes.txt") - 60)
    struct.pack_into("<3L", data, header + 14, zlib.crc32(b"short"), 5, 5)
    return bytes(data)


def hidden_after_deflated_data() -> bytes:
    """The stream ends before the directory says so, and the next header follows at once."""
    plain = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = plain.compress(SHOWN) + plain.flush()
    descriptor = struct.pack("<4s3L", b"PK\x07\x08", zlib.crc32(SHOWN), len(packed), len(SHOWN))
    data = bytearray(zipped(BOTH, streamed=True))
    at = data.rindex(b"PK\x07\x08")
    inserted = descriptor + local("handler.py", HIDDEN)
    grown = bytearray(with_shifted_directory(bytes(data), at, inserted))
    entry = grown.rindex(b"PK\x01\x02")
    struct.pack_into("<L", grown, entry + 20, len(packed) + len(inserted))
    return bytes(grown)


def another_name() -> bytes:
    data = zipped(BOTH)
    at = data.index(b"handler.py")
    return data[:at] + b"handles.py" + data[at + 10 :]


def another_method() -> bytes:
    data = bytearray(zipped(BOTH, method=0))
    struct.pack_into("<H", data, data.rindex(b"PK\x03\x04") + 8, zipfile.ZIP_DEFLATED)
    return bytes(data)


def overlapping() -> bytes:
    """Two names in the directory for one local header, as the densest bombs have it."""
    data = zipped([*BOTH, ("handler.pz", SHOWN)])
    whole = bytearray(data)
    second, third = (data.index(name, directory_of(data)) - 46 for name in (b"handler.py", b"handler.pz"))
    whole[third + 42 : third + 46] = whole[second + 42 : second + 46]
    return bytes(whole)


DIFFERENT = {
    "hidden before the directory": hidden_before_the_directory,
    "hidden between two": hidden_between_two,
    "hidden in stored data": hidden_in_stored_data,
    "hidden after deflated data": hidden_after_deflated_data,
    "another name": another_name,
    "another method": another_method,
    "overlapping": overlapping,
    "something before it": lambda: b"#!/bin/sh\n" + zipped(BOTH),
}


@pytest.mark.parametrize("make", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_torchserve_would_unpack_otherwise_is_refused(tmp_path: Path, make: object) -> None:
    file = tmp_path / "goods.mar"
    file.write_bytes(make())  # type: ignore[operator]
    with zipfile.ZipFile(file) as archive:
        assert layout.MANIFEST in archive.namelist(), "it is a zip file to Python"

    for read in (describe, lambda file: unpacked(file).__enter__()):
        with pytest.raises(ArchiveError, match=rf"^{file}: TorchServe would unpack it otherwise: .* Pack it again\.$"):
            read(file)


@pytest.mark.parametrize("streamed", [False, True], ids=["sizes before the data", "sizes after the data"])
def test_what_both_read_alike_is_taken(tmp_path: Path, streamed: bool) -> None:
    file = tmp_path / "goods.mar"
    entries = [*BOTH, ("Käse.txt", b""), ("empty/", b"")]
    file.write_bytes(zipped(entries, streamed=streamed))

    with unpacked(file) as folder:
        assert (folder / "handler.py").read_bytes() == SHOWN
        assert (folder / "empty").is_dir()


def test_a_file_with_sizes_of_eight_bytes_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "goods.mar"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(layout.MANIFEST, MANIFEST)
        with archive.open("model.pt", "w", force_zip64=True) as large:
            large.write(b"weights")

    with unpacked(file) as folder:
        assert (folder / "model.pt").read_bytes() == b"weights"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_torchserve_cannot_unpack_is_refused(tmp_path: Path, method: int) -> None:
    file = tmp_path / "goods.mar"
    file.write_bytes(zipped(BOTH, method=method))

    with pytest.raises(ArchiveError, match="compressed in a way that TorchServe cannot read"):
        describe(file)


def test_a_broken_archive_is_never_more_than_one_sentence(tmp_path: Path) -> None:
    """Every byte of the headers and directories, and chance ones besides."""
    file = tmp_path / "goods.mar"
    chance = random.Random(0)
    for streamed in (False, True):
        whole = zipped([*BOTH, ("Käse.txt", b"x")], streamed=streamed)
        for at in range(len(whole)):
            changed = bytearray(whole)
            changed[at] ^= chance.randrange(1, 256)
            file.write_bytes(changed)
            with suppress(ArchiveError), unpacked(file):
                describe(file)
