"""Small files that stand for more than a memory holds, or take hours to read."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import lzma
import struct
import zipfile
from collections.abc import Callable

from evasions import EMPTY, zipped

MEGABYTE = 1 << 20


def deflated(name: str, *chunks: tuple[bytes, int]) -> bytes:
    """A zip file with one member, which repeats chunks."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        for chunk, times in chunks:
            for _ in range(times):
                member.write(chunk)
    return stream.getvalue()


def opcodes(repeated: bytes, *, end: bytes = b".", megabytes: int = 60) -> bytes:
    """A pickle of many steps, packed to a few hundred kilobytes."""
    chunk = repeated * (MEGABYTE // len(repeated))
    return deflated("archive/data.pkl", (b"\x80\x04", 1), (chunk, megabytes), (end, 1))


def nested(levels: int, width: int) -> bytes:
    """Zip files in zip files, each several times, as 42.zip has them."""
    data = deflated("zeros", (bytes(MEGABYTE), 20))
    for _ in range(levels):
        data = zipped({f"{number}.zip": data for number in range(width)}, zipfile.ZIP_DEFLATED)
    return data


def many_members(count: int) -> bytes:
    """A zip file of empty files, written by hand since zipfile takes minutes."""
    local = b"".join(
        struct.pack("<4s5H3L2H6s", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, b"%06d" % n) for n in range(count)
    )
    directory = b"".join(
        struct.pack("<4s6H3L5H2L6s", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 36 * n, b"%06d" % n)
        for n in range(count)
    )
    shown = min(count, 0xFFFF)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, shown, shown, len(directory), len(local), 0)
    return local + directory + end


def torchscript(code: bytes, files: int = 1) -> bytes:
    """A TorchScript file with code as it is."""
    members = {"m/constants.pkl": EMPTY, "m/data.pkl": EMPTY, "m/version": b"3\n"}
    return zipped(members | {f"m/code/a{n}.py": code for n in range(files)}, zipfile.ZIP_DEFLATED)


# Extra files of an archive, by name.
FILES: dict[str, Callable[[], tuple[str, bytes]]] = {
    "opcodes": lambda: ("model.pt", opcodes(b"N0")),
    "opcodes that are remembered": lambda: ("model.pt", opcodes(b"N\x94")),
    "lists": lambda: ("model.pt", opcodes(b"]")),
    "marks": lambda: ("model.pt", opcodes(b"(")),
    "tuples in tuples": lambda: ("model.pt", opcodes(b"\x85", end=b".")),
    "strings that are remembered": lambda: (
        "model.pt",
        opcodes(b"X\x00\x04\x00\x00" + b"a" * 1024 + b"\x94", megabytes=200),
    ),
    "many pickles": lambda: ("model.pt", opcodes(b"N.")),
    "pickle of the oldest kind": lambda: ("model.pt", opcodes(b"I1\n0")),
    "long line": lambda: ("model.pt", deflated("a/data.pkl", (b"S'" + b"a" * MEGABYTE, 1), (b"a" * MEGABYTE, 250))),
    "zeros": lambda: ("model.pt", deflated("archive/data/0", (bytes(MEGABYTE), 900))),
    "gzip": lambda: ("weights.bin", gzip.compress(bytes(600 * MEGABYTE), 1)),
    "bzip2": lambda: ("weights.bin", bz2.compress(bytes(400 * MEGABYTE), 9)),
    "xz": lambda: ("weights.bin", lzma.compress(bytes(400 * MEGABYTE), preset=0)),
    "zip files in zip files": lambda: ("data.zip", nested(3, 12)),
    "many members": lambda: ("data.zip", many_members(60_000)),
    "far too many members": lambda: ("data.zip", many_members(250_000)),
    "brackets": lambda: ("model.pt", torchscript(b"x = " + b"(" * 500_000)),
    "signs": lambda: ("model.pt", torchscript(b"x = " + b"-" * 500_000 + b"1")),
    "a long sum": lambda: ("model.pt", torchscript(b"x = 1" + b"+1" * 500_000)),
    "a long path": lambda: ("model.pt", torchscript(b"x = a" + b".b" * 500_000)),
    "blanks in a name": lambda: ("model.pt", torchscript(b"x = torch" + b" " * 900_000 + b".save")),
    "a long list": lambda: ("model.pt", torchscript(b"x = [" + b"a," * 500_000 + b"]")),
    "much code": lambda: ("model.pt", torchscript(b"x = [1, 2, 3]\n" * 60_000, files=40)),
    "json": lambda: ("hashes.json", b"[" + b"[]," * 3 * MEGABYTE + b"1]"),
    "deep json": lambda: ("hashes.json", b"[" * 3 * MEGABYTE),
    "a program in json": lambda: (
        "p.pt2",
        deflated("p/models/m.json", (b'{"graph_module":[', 1), (b"[]," * MEGABYTE, 9), (b"1]}", 1)),
    ),
    "a header": lambda: ("a.npy", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 0xFFFF),
}  # fmt: skip

YAML = {
    "aliases": "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)),
    "merges": "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60)),
    "itself": "a: &a [*a, *a]\n",
    "itself as a key": "a: &a {? *a : 1}\n",
    "brackets": "[" * 100_000,
    "dashes": "- " * 60_000,
    "many keys": "".join(f"batchSize{n}: {n}\n" for n in range(7_000)),
    "a long key": "b" * 1_000 + ": 1\n" + "? " + "batchSize" * 10_000 + "\n: 1\n",
    "a long number": "batchSize: " + "9" * 120_000,
    "sixties": "batchSize: " + "1:" * 50_000 + "1",
    "long": "batchSize: 1\n" * 200_000,
    "an endless line": "batchSize: [" + "1," * 60_000,
}

PROPERTIES = {
    "a pattern": "enable_model_api=true\nallowed_urls=((((.*)*)*)*)*x(?=y)\n",
    "another pattern": r"allowed_urls=(?:(?:\\w|[^!])+)+!" + "\n",
    "a pattern that counts": "allowed_urls=((((a{1,999}){1,999}){1,999}){1,999}){1,999}\n",
    "lines that go on": "a=\\\n" * 40_000,
    "keys": "".join(f"job_queue_size{n}=1\n" for n in range(9_000)),
    "json": "models=" + "[" * 100_000 + "\n",
    "wide json": 'models={"a": {"1.0": {' + ",".join(f'"batchSize{n}": 1' for n in range(6_000)) + "}}}\n",
    "long": "a=1\n" * 2_000_000,
    "values": "".join(f"vmargs=-X{n}\n" for n in itertools.repeat(1, 9_000)),
}

DESCRIPTIONS = {
    "card.json": json.dumps({"made_by": "marwright"}).encode() + b" " * 5 * MEGABYTE,
    "labels.json": b"[" + b"[]," * 1_300_000 + b"1]",
    "setup_config.json": b'{"a":' * 500_000,
}
