"""Streams that unpack to another one, known by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from marwright.formats.signatures import BZIP2, GZIP, XZ, ZSTANDARD

_LZ4, _RAR, _SEVEN_ZIP = b"\x04\x22\x4d\x18", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c"
NOT_UNPACKED = (ZSTANDARD, _LZ4, _RAR, _SEVEN_ZIP)
_READERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    GZIP + b"\x08": lambda stream: gzip.GzipFile(fileobj=stream),
    **{BZIP2 + b"%d1AY&SY" % level: bz2.BZ2File for level in range(1, 10)},
    XZ + b"\x00": lzma.LZMAFile,
    b"]\x00\x00": lzma.LZMAFile,
}
# Whose first bytes no unpickler goes beyond, by an opcode that there is not, or that takes from an empty stack.
NO_PICKLE = (GZIP, XZ, b"]\x00\x00", *NOT_UNPACKED)
_CHUNK = 1 << 16


def unpackings(stream: BinaryIO, start: bytes) -> Iterator[Iterator[bytes]]:
    """What a stream that begins with ``start`` unpacks to, in chunks, in each way in which some reader unpacks it."""
    if len(start) > 2 and start[0] == 0x78 and int.from_bytes(start[:2], "big") % 31 == 0:
        yield _inflated(stream)
    for magic, reader in _READERS.items():
        if start.startswith(magic):
            yield _read(stream, reader)


def _read(stream: BinaryIO, reader: Callable[[BinaryIO], Any]) -> Iterator[bytes]:
    stream.seek(0)
    with reader(stream) as packed:
        while data := packed.read(_CHUNK):
            yield data


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    """What zlib makes of a stream; nothing if it only begins as if."""
    stream.seek(0)
    inflate = zlib.decompressobj()
    try:
        while not inflate.eof and (chunk := stream.read(_CHUNK)):
            while chunk:
                yield inflate.decompress(chunk, _CHUNK)
                chunk = inflate.unconsumed_tail
    except zlib.error:
        pass  # an unpickler that reads it as it comes gets as far
