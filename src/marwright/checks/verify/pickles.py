"""What the pickles of a stream import, found out without loading them."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from marwright.checks.budget import Budget
from marwright.checks.verify.pickle_machine import EXTENSION, Followed, Imported, follow

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
# With this number begins what `torch.save` wrote before its files were zip files (torch/serialization.py).
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PICKLES = 5
# So many opcodes may stand in a row in any bytes.
_BY_CHANCE = 3
_STORAGE_BYTES = {
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    **dict.fromkeys(("Float", "Int", "QInt32"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Byte", "Char", "Bool", "QInt8", "QUInt8", "Untyped"), 1),
    "ComplexDouble": 16,
}


@dataclass
class Pickles:
    """What loading the pickles of a stream would do.

    ``imports`` are functions and classes beyond those of tensors, by their full names, such as ``posix.system``.
    ``operators`` are strings that are written as operators are, such as ``aten::add``.
    """

    imports: set[str] = field(default_factory=set)
    operators: set[str] = field(default_factory=set)
    unreadable: bool = False


def pickles_in(stream: BinaryIO, budget: Budget, *, named: bool, marked: bool = False) -> Pickles:
    """Follow all pickles that stand in a row, to the end of the stream; an empty one holds none.

    Args:
        stream: can seek; it is read from its start.
        budget: what may be spent.
        named: it is called as pickles are, so whatever is none counts as unreadable.
        marked: it begins as pickles do, so what breaks off counts as unreadable; but two bytes may be chance. Otherwise
            it may be a text or the numbers of a tensor, and counts only if an unpickler would call what it imports, or
            come to its end. There a number of the registry of extensions is no import: three bytes of any tensor may
            have it, and an unpickler refuses it until some code has filled the registry, which is empty in Python.

    Raises:
        OverBudget: they have more steps than that.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    found, first = Pickles(), list[Followed]()
    while stream.tell() < size:
        budget.spend(items=10)
        one = follow(stream, budget, size)
        imports = one.imports if named or marked or one.complete else one.called
        if not (named or marked):
            imports = imports - {EXTENSION}
        found.imports |= {name for name in imports if not _is_harmless(name)}
        found.operators |= one.strings
        if not one.complete:
            found.unreadable = named or (marked and (bool(first) or one.steps > _BY_CHANCE))
            break
        if len(first) < _LEGACY_PICKLES:
            first.append(one)
            if len(first) == _LEGACY_PICKLES and first[0].value == _LEGACY_MAGIC:
                found.unreadable = not _are_storages(stream, size, first[3], first[4])
                break
    return found


def _is_harmless(name: str) -> bool:
    return name in _HARMLESS or _HARMLESS_KINDS.fullmatch(name) is not None


def _are_storages(stream: BinaryIO, size: int, value: Followed, keys: Followed) -> bool:
    """Whether all that is left are the numbers of the tensors: for each a count of eight bytes, then as many."""
    widths = dict(filter(None, map(_storage, value.persistent)))
    for key in keys.value if isinstance(keys.value, list) else ():
        if key not in widths or len(count := stream.read(8)) < 8:
            return False
        stream.seek(int.from_bytes(count, "little") * widths[key], io.SEEK_CUR)
    return stream.tell() == size


def _storage(persistent: Any) -> tuple[str, int] | None:
    match persistent:
        case ("storage", Imported(kind), str(key), *_):
            width = _STORAGE_BYTES.get(kind.removeprefix("torch.").removesuffix("Storage"))
            return None if width is None else (key, width)
    return None
