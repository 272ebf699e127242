"""Whether a zip file holds the same files for whoever begins at its start and for whoever begins at its end.

Python goes by the directory at the end. TorchServe reads on from the first byte, from local header to local header, and
never looks at the directory: what only one of them sees could be checked without being served, or served unchecked.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from itertools import pairwise
from typing import IO

# 4.3.7 of https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT: signature, version, flags, method, time, date,
# CRC, packed and unpacked size, lengths of name and extra field.
_HEADER = struct.Struct("<4s5H3L2H")
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
# After the data, with or without its own signature, with sizes of four bytes or eight. Too short for a local header.
_DESCRIPTOR_LENGTHS = (12, 16, 20, 24)
_IN_EXTRA_FIELD = 0xFFFFFFFF
# A byte of deflate unpacks to at most 1032, so this bounds the memory.
_CHUNK = 1 << 16


def differently_read(archive: zipfile.ZipFile) -> str | None:
    """What TorchServe would read otherwise than Python does, in a few words; None if there is nothing.

    Args:
        archive: opened for reading.
    """
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
        _SIGNATURE,
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
    while left and not inflate.eof:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            return False
        inflate.decompress(chunk)
        left -= len(chunk)
    return inflate.eof and not left and not inflate.unused_data
