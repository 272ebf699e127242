"""Takes out of a TorchScript file what tells where, when and in which process it was made."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable

# PyTorch names the folder inside the file after the file; a module saved to memory is in this one.
ROOT = "archive"
# Where in the sources each line came from, with their paths on this machine. Only error messages use it.
_SOURCE_PLACES = ".debug_pkl"
# A hash over the names and bytes of everything else, the source places too. Only PyTorch's own logging reads it.
_SERIALIZATION_ID = ".data/serialization_id"
# A class whose plain name is taken gets a counted one; the number is of those that the process has seen so far.
_COUNTED_NAME = re.compile(rb"___torch_mangle_\d+")
# Constants of a class, one a line. They come out of a set, so their order is another one in each process.
_CONSTANTS = re.compile(rb"(?:^  \w+ : Final\[.*\n)+", re.MULTILINE)


def reproducible(torchscript: bytes) -> bytes:
    """Rewrite a file of ``torch.jit.save`` so that equal modules have equal bytes.

    What comes out is the same module without source places, its classes numbered from zero and their constants in
    alphabetical order, in a folder of a fixed name.
    """
    with zipfile.ZipFile(io.BytesIO(torchscript)) as saved:
        records = {info.filename.partition("/")[2]: saved.read(info) for info in saved.infolist()}
    kept = {
        name: data for name, data in records.items() if not name.endswith(_SOURCE_PLACES) and name != _SERIALIZATION_ID
    }
    names = _renumbered(data for name, data in kept.items() if _names_classes(name))
    written = io.BytesIO()
    # Stored, not compressed: what a compressor makes of the same bytes depends on its version.
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, data in kept.items():
            entry = zipfile.ZipInfo(f"{ROOT}/{_replaced(name.encode(), names).decode()}")
            entry.create_system = 3  # Unix, wherever it is built
            archive.writestr(entry, _with_sorted_constants(_replaced(data, names)) if _names_classes(name) else data)
    return written.getvalue()


def _names_classes(name: str) -> bool:
    """Whether a record is code or says which class an object has; the others are tensors, byte for byte."""
    return name.endswith((".py", ".pkl"))


def _renumbered(texts: Iterable[bytes]) -> dict[bytes, bytes]:
    """A new number for each counted name, in the order in which they appear.

    In a pickle these names end with a line feed, not after a length, so a shorter one may take their place.
    """
    names: dict[bytes, bytes] = {}
    for text in texts:
        for name in _COUNTED_NAME.findall(text):
            names.setdefault(name, b"___torch_mangle_%d" % len(names))
    return names


def _replaced(text: bytes, names: dict[bytes, bytes]) -> bytes:
    return _COUNTED_NAME.sub(lambda match: names.get(match[0], match[0]), text)


def _with_sorted_constants(code: bytes) -> bytes:
    return _CONSTANTS.sub(lambda lines: b"".join(sorted(lines[0].splitlines(keepends=True))), code)
