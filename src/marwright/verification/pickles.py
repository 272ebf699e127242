"""Reads which names a pickle would import, without unpickling it."""

from __future__ import annotations

import io
import pickletools
import re
from pathlib import Path

# What `torch.load(…, weights_only=True)` accepts for tensors, parameters and what holds them.
_HARMLESS = frozenset(
    {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_sparse_tensor",
        "torch._utils._rebuild_qtensor",
        "torch.per_tensor_affine",
        "torch.per_channel_affine",
        "torch._tensor._rebuild_from_type_v2",
        "torch.nn.parameter.Parameter",
        "torch.Tensor",
        "torch.Size",
        "torch.device",
        "torch.storage.UntypedStorage",
        "torch.storage.TypedStorage",
        "torch.serialization._get_layout",
        "_codecs.encode",
        "builtins.set",
        "__builtin__.set",
    }
)
_HARMLESS_KINDS = re.compile(r"torch\.(\w+Storage|u?int\d+|b?float\d+\w*|double|half|bfloat16|bool|long|complex\d+)")
UNREADABLE = "a part that cannot be read"
HIDDEN = "a name that does not stand in it"


def names_beyond_tensors(data: bytes) -> list[str]:
    """The functions and classes that loading a pickle imports, but for those of tensors.

    Args:
        data: one pickle or several in a row, as older versions of ``torch.save`` wrote them.

    Returns:
        full names in alphabetical order, such as ``posix.system``; :data:`UNREADABLE` if not even the first pickle
        can be read to its end, and :data:`HIDDEN` if a name is put together while it runs.
    """
    stream = io.BytesIO(data)
    found: set[str] = set()
    pickles = 0
    while stream.tell() < len(data):
        try:
            _gather_imports(stream, found)
        except Exception:  # whatever a malformed opcode raises
            if not pickles:
                found.add(UNREADABLE)
            break
        pickles += 1
    return sorted(name for name in found if name not in _HARMLESS and not _HARMLESS_KINDS.fullmatch(name))


def begins_as_pickle(file: Path) -> bool:
    """Whether a file begins as a pickle of protocol 2 or later does."""
    start = start_of(file)
    return len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5


def begins_as_zip(file: Path) -> bool:
    """Whether a file begins as a zip file does: nothing that reads pickles gets beyond that."""
    return start_of(file) == b"PK\x03\x04"


def start_of(file: Path) -> bytes:
    """The first four bytes of a file, or fewer."""
    with file.open("rb") as opened:
        return opened.read(4)


def _gather_imports(stream: io.BytesIO, found: set[str]) -> None:
    """Add the names that one pickle imports: those of GLOBAL and INST, and the two strings before a STACK_GLOBAL.

    They are added as they are met: a pickle runs up to the place where it is broken.
    """
    # What each step left on top of the stack; nothing where it is no string, so that no step can hide behind others.
    steps: list[str | None] = []
    memo: dict[int, str | None] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "MEMOIZE" or "PUT" in opcode.name:
            memo[len(memo) if argument is None else int(argument)] = steps[-1] if steps else None
            continue
        if opcode.name in ("PROTO", "FRAME"):
            continue
        if opcode.name in ("GLOBAL", "INST"):
            found.add(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            if len(steps) < 2:
                raise ValueError("nothing to import")
            module, name = steps[-2:]
            found.add(HIDDEN if module is None or name is None else f"{module}.{name}")
        if "UNICODE" in opcode.name or opcode.name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
            steps.append(str(argument))
        elif "GET" in opcode.name and argument is not None:
            steps.append(memo.get(int(argument)))
        else:
            steps.append(None)
