"""Whether a zip file holds the same files for whoever begins at its start and for whoever begins at its end.

Python goes by the directory at the end. TorchServe reads on from the first byte, from local header to local header, and
never looks at the directory: what only one of them sees could be checked without being served, or served unchecked.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

from marwright.formats.signatures import ZIP

# 4.3.7 of https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT: signature, version, flags, method, time, date,
# CRC, packed and unpacked size, lengths of name and extra field.
_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
# After the data, with or without its own signature, with sizes of four bytes or eight. Too short for a local header.
_DESCRIPTOR_LENGTHS = (12, 16, 20, 24)
_IN_EXTRA_FIELD = 0xFFFFFFFF
_CHUNK = 1 << 16
# 4.3.16, 4.3.15 and 4.3.14: the ends of the directory.
_END, _END_SIGNATURE = struct.Struct("<4s4H2LH"), b"PK\x05\x06"
_LOCATOR, _LOCATOR_SIGNATURE = struct.Struct("<4sLQL"), b"PK\x06\x07"
_LONG_END, _LONG_END_SIGNATURE = struct.Struct("<4sQ2H2L4Q"), b"PK\x06\x06"
_LONGEST_COMMENT = 0xFFFF


@dataclass(frozen=True)
class Directory:
    """What the end of a zip file says of its directory: where it starts and how long it is.

    ``end`` is where it must end, ``behind`` how many bytes come after all that belongs to the file.
    """

    start: int
    size: int
    end: int
    behind: int


def directory_of(stream: IO[bytes]) -> Directory | None:
    """Find the directory without reading it, for it may be made to fill a memory.

    Returns:
        None if there is none, or readers may find different ones.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _END.size - _LONGEST_COMMENT))
    tail = stream.read()
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        return None
    *_, length, start, comment = _END.unpack_from(tail, at)
    end = size - len(tail) + at
    behind = len(tail) - at - _END.size - comment
    stream.seek(max(0, end - _LOCATOR.size))
    locator = stream.read(_LOCATOR.size)
    if locator.startswith(_LOCATOR_SIGNATURE):
        end -= _LOCATOR.size + _LONG_END.size
        stream.seek(max(0, end))
        long = stream.read(_LONG_END.size)
        if _LOCATOR.unpack(locator)[2] != end or not long.startswith(_LONG_END_SIGNATURE):
            return None
        *_, length, start = _LONG_END.unpack(long)
    return Directory(start, length, end, behind)


def differently_read(archive: zipfile.ZipFile) -> str | None:
    """What TorchServe would read otherwise than Python does, in a few words; None if there is nothing."""
    stream = archive.fp
    assert stream is not None
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    starts = [info.header_offset for info in infos] + [archive.start_dir]
    if starts[0] != 0:
        return "something stands before its first file"
    for info, (start, following) in zip(infos, pairwise(starts), strict=True):
        if not _is_one_file(stream, info, start, following):
            return f"{info.filename!r} is another file there, or is followed by one that its directory does not list"
    return None


def _is_one_file(stream: IO[bytes], info: zipfile.ZipInfo, start: int, following: int) -> bool:
    """Whether both readers find this file between here and there, and nothing else."""
    stream.seek(start)
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return False
    signature, _, flags, method, _, _, crc, packed, unpacked, name_length, extra_length = _HEADER.unpack(header)
    name, extra = stream.read(name_length), stream.read(extra_length)
    listed = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", errors="replace")
    if (signature, name, method, flags & (_ENCRYPTED | _SIZES_FOLLOW)) != (
        ZIP,
        listed,
        info.compress_type,
        info.flag_bits & (_ENCRYPTED | _SIZES_FOLLOW),
    ):
        return False
    data = start + _HEADER.size + name_length + extra_length
    gap = following - data - info.compress_size
    if flags & _SIZES_FOLLOW:
        # Only here does the stream itself say where a file ends.
        return gap in _DESCRIPTOR_LENGTHS and _fills(stream, data, info)
    sizes = _long_sizes(extra) if _IN_EXTRA_FIELD in (packed, unpacked) else (unpacked, packed)
    return gap == 0 and crc == info.CRC and sizes == (info.file_size, info.compress_size)


def _long_sizes(extra: bytes) -> tuple[int, ...]:
    """Unpacked and packed size in the extra field of a large file (4.5.3)."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        if kind == 1 and length >= 16:
            return struct.unpack("<2Q", extra[4:20]) if len(extra) >= 20 else ()
        extra = extra[4 + length :]
    return ()


def _fills(stream: IO[bytes], start: int, info: zipfile.ZipInfo) -> bool:
    """Whether the compressed data ends where the directory says it does."""
    if info.compress_type != zipfile.ZIP_DEFLATED:
        return False  # TorchServe's reader refuses it too
    stream.seek(start)
    inflate, left = zlib.decompressobj(-zlib.MAX_WBITS), info.compress_size
    room = info.file_size + 1
    while left and not inflate.eof and room > 0:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            return False
        left -= len(chunk)
        while chunk and room > 0:
            room -= len(inflate.decompress(chunk, _CHUNK))
            chunk = inflate.unconsumed_tail
    return inflate.eof and not left and not inflate.unused_data and room == 1
