"""Follows a pickle step by step as Python's unpickler does, without importing, calling or making anything.

The machine is that of ``pickle._Unpickler`` (Lib/pickle.py of CPython 3.11), with strings, small numbers, tuples, lists
and imported names for values, and :data:`OPAQUE` for all others.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from marwright.checks.budget import Budget
from marwright.checks.verify.pickle_arguments import OPAQUE, Arguments, Malformed, Opaque

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
HIDDEN = "a name that does not stand in it"
EXTENSION = "what a number of the registry of extensions stands for"


@dataclass(frozen=True)
class Imported:
    """A function or class that a pickle imports."""

    name: str


@dataclass
class Followed:
    """What one pickle does, up to its end or to where it breaks.

    ``imports`` are full names; ``called`` are those imported before the last call. ``persistent`` are the ids of what
    lies outside of the pickle, ``value`` is what it makes.
    """

    imports: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    persistent: list[Any] = field(default_factory=list)
    value: Any = OPAQUE
    steps: int = 0
    complete: bool = False


def follow(stream: BinaryIO, budget: Budget, size: int) -> Followed:
    """Follow one pickle from where a stream of ``size`` bytes stands; it stands behind a complete one afterwards.

    Raises:
        OverBudget: it has more steps than that.
    """
    machine = _Machine(stream, budget, size)
    with suppress(Malformed, IndexError, UnicodeError):
        machine.run()
    return machine.followed


class _Machine:
    """Has a stack, which a mark lays aside until its values are gathered, and a memo."""

    def __init__(self, stream: BinaryIO, budget: Budget, size: int) -> None:
        self.followed = Followed()
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._arguments = Arguments(stream, budget, size, self.followed.strings)
        self._stream, self._budget = stream, budget

    def run(self) -> None:
        while True:
            opcode = _OPCODES.get(self._stream.read(1))
            if opcode is None:
                raise Malformed
            self._budget.spend(items=1)
            self.followed.steps += 1
            argument = self._arguments.read(opcode.arg)
            name = opcode.name
            if name == "STOP":
                self.followed.value = self.stack.pop()
                self.followed.complete = True
                return
            step = _STEPS.get(name)
            if step is not None:
                step(self, argument)
            elif name.endswith("GET"):
                if argument not in self._memo:
                    raise Malformed
                self.push(self._memo[argument])
            elif name.endswith("PUT"):
                self._memo[argument] = self.stack[-1]
            else:
                # All that is left pushes a plain value.
                self.push(argument if isinstance(argument, str | int) else OPAQUE)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def from_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items

    def pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.from_mark()

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def make_from_mark(self, _: Any) -> None:
        self.from_mark()
        self.push(OPAQUE)

    def tuple_of_top(self, count: int) -> None:
        """Join the uppermost values."""
        below = len(self.stack) - count
        if below < 0:
            raise Malformed
        self.stack[below:] = [tuple(self.stack[below:])]

    def add(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def add_with_key(self, _: Any) -> None:
        self.stack.pop()
        self.add([self.stack.pop()])

    def imports(self, pair: tuple[Any, Any]) -> None:
        module, name = pair
        known = isinstance(module, str) and isinstance(name, str)
        self.push_imported(f"{module}.{name}" if known else HIDDEN)

    def imports_from_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.imports((module, name))

    def push_imported(self, name: str) -> None:
        self.followed.imports.add(name)
        self.push(Imported(name))

    def instance(self, pair: tuple[Any, Any]) -> None:
        self.from_mark()
        self.imports(pair)
        self._call(self.stack.pop())

    def object(self, _: Any) -> None:
        self._call(self.from_mark()[0])

    def reduce(self, _: Any) -> None:
        arguments = self.stack.pop()
        if isinstance(arguments, int | Imported):
            raise Malformed  # not even the unpickler that is written in Python can go through these
        self._call(self.stack.pop())

    def new_with_keywords(self, _: Any) -> None:
        self.stack.pop()
        self.reduce(None)

    def build(self, _: Any) -> None:
        self.stack.pop()
        self.stack[-1]
        self.followed.called |= self.followed.imports

    def _call(self, function: Any) -> None:
        if not isinstance(function, Imported | Opaque):
            raise Malformed
        self.followed.called |= self.followed.imports
        self.push(OPAQUE)

    def persistent(self, key: Any) -> None:
        self.followed.persistent.append(key)
        self.push(OPAQUE)


def _nothing(*_: Any) -> None: ...


_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": lambda machine, _: machine.from_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "MEMOIZE": _Machine.memoize,
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.from_mark()),
    "DICT": _Machine.make_from_mark,
    "FROZENSET": _Machine.make_from_mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.from_mark())),
    "EMPTY_TUPLE": lambda machine, _: machine.tuple_of_top(0),
    "TUPLE1": lambda machine, _: machine.tuple_of_top(1),
    "TUPLE2": lambda machine, _: machine.tuple_of_top(2),
    "TUPLE3": lambda machine, _: machine.tuple_of_top(3),
    "APPEND": lambda machine, _: machine.add([machine.stack.pop()]),
    "SETITEM": _Machine.add_with_key,
    **dict.fromkeys(("APPENDS", "SETITEMS", "ADDITEMS"), lambda machine, _: machine.add(machine.from_mark())),
    "PROTO": _nothing,
    "FRAME": _nothing,
    "GLOBAL": _Machine.imports,
    "STACK_GLOBAL": _Machine.imports_from_stack,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda machine, _: machine.push_imported(EXTENSION)),
    "INST": _Machine.instance,
    "OBJ": _Machine.object,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "PERSID": _Machine.persistent,
    "BINPERSID": lambda machine, _: machine.persistent(machine.stack.pop()),
    "NEXT_BUFFER": lambda machine, _: machine.push(OPAQUE),
    "READONLY_BUFFER": lambda machine, _: machine.stack[-1],
}
