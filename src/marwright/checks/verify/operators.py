"""Which operators are known to compute with tensors and plain values, and to do nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from marwright.formats.word_lists import word_lists

# They open files, and one of them connections to other machines: any code may name them in any way.
FORBIDDEN = frozenset(
    {"from_file", "save", "load", "rpc_async", "rpc_sync", "rpc_remote", "to_here", "load_library", "PythonOp"}
)
# Of the C++ classes that an archive may make objects of, those of PyTorch's own packed weights.
KNOWN_CLASSES = frozenset({"quantized", "sparse", "rnn", "mkldnn", "xnnpack", "onednn"})


@cache
def _listed() -> dict[str, frozenset[str]]:
    """The names by namespace."""
    return word_lists(Path(__file__).with_name("operators.txt"))


def known(space: str) -> frozenset[str]:
    """The names of a namespace that are known, such as ``add`` of ``aten``; in brackets stands what is none."""
    return _listed().get(space, frozenset())


def known_methods() -> frozenset[str]:
    """Names under which values have operators as methods, and fields."""
    return known("aten") | known("prim") | known("(field)")


@dataclass
class Operators:
    """What some code calls.

    ``known`` are those in the list, ``forbidden`` those that touch files or connections, ``unknown`` all others and
    whatever could not be followed, in words.
    """

    known: set[str] = field(default_factory=set)
    forbidden: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def add(self, names: Iterable[str]) -> None:
        """Judge full names, such as ``aten::add``; what follows a point is the kind of an overload."""
        for name in names:
            plain = name.partition(".")[0]
            space, _, own = plain.partition("::")
            if own in known(space):
                self.known.add(plain)
            elif own in FORBIDDEN:
                self.forbidden.add(plain)
            else:
                self.unknown.add(plain)

    def __ior__(self, other: Operators) -> Operators:
        self.known |= other.known
        self.forbidden |= other.forbidden
        self.unknown |= other.unknown
        return self
