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
    """Follow one pickle from where a stream stands.

    Args:
        stream: can seek; it stands behind the pickle afterwards if that is complete.
        budget: what may be spent.
        size: bytes of the whole stream.

    Raises:
        OverBudget: it has more steps than that.
    """
    machine = _Machine(stream, budget, size)
    with suppress(Malformed, IndexError, UnicodeError):
        machine.run()
    return machine.followed


class _Machine:
    def __init__(self, stream: BinaryIO, budget: Budget, size: int) -> None:
        self.followed = Followed()
        self._arguments = Arguments(stream, budget, size, self.followed.strings)
        self._stream, self._budget = stream, budget
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> None:
        while True:
            code = self._stream.read(1)
            opcode = _OPCODES.get(code)
            if opcode is None:
                raise Malformed
            self._budget.spend(items=1)
            self.followed.steps += 1
            argument = self._arguments.read(opcode.arg)
            name = opcode.name
            if name == "STOP":
                self.followed.value = self._stack.pop()
                self.followed.complete = True
                return
            step = _STEPS.get(name)
            if step is not None:
                step(self, argument)
            elif name.endswith("GET"):
                if argument not in self._memo:
                    raise Malformed
                self._stack.append(self._memo[argument])
            elif name.endswith("PUT"):
                self._memo[argument] = self._stack[-1]
            else:
                # All that is left pushes a plain value.
                self._stack.append(argument if isinstance(argument, str | int) else OPAQUE)

    def _marked(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._marked()

    def pop_mark(self, _: Any) -> None:
        self._marked()

    def duplicate(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def make_from_mark(self, _: Any) -> None:
        self._marked()
        self._stack.append(OPAQUE)

    def tuple_from_mark(self, _: Any) -> None:
        items = self._marked()
        self._stack.append(tuple(items))

    def empty_list(self, _: Any) -> None:
        self._stack.append([])

    def list_from_mark(self, _: Any) -> None:
        items = self._marked()
        self._stack.append(items)

    def tuple_of_top(self, count: int) -> None:
        """Join the uppermost values."""
        below = len(self._stack) - count
        if below < 0:
            raise Malformed
        self._stack[below:] = [tuple(self._stack[below:])]

    def push_opaque(self, _: Any) -> None:
        self._stack.append(OPAQUE)

    def add_from_mark(self, _: Any) -> None:
        items = self._marked()
        self._add(items)

    def add_one(self, _: Any) -> None:
        self._add([self._stack.pop()])

    def add_two(self, _: Any) -> None:
        self._stack.pop()
        self.add_one(None)

    def _add(self, items: list[Any]) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(items)

    def nothing(self, _: Any) -> None: ...

    def imports(self, pair: tuple[Any, Any]) -> None:
        module, name = pair
        known = isinstance(module, str) and isinstance(name, str)
        self._push_imported(f"{module}.{name}" if known else HIDDEN)

    def imports_from_stack(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self.imports((module, name))

    def imports_extension(self, _: Any) -> None:
        self._push_imported(EXTENSION)

    def _push_imported(self, name: str) -> None:
        self.followed.imports.add(name)
        self._stack.append(Imported(name))

    def instance(self, pair: tuple[Any, Any]) -> None:
        self._marked()
        self.imports(pair)
        self._stack.pop()
        self._call()

    def object(self, _: Any) -> None:
        self._callable(self._marked()[0])
        self._call()

    def reduce(self, _: Any) -> None:
        arguments = self._stack.pop()
        if isinstance(arguments, int | Imported):
            raise Malformed  # not even the unpickler that is written in Python can go through these
        self._callable(self._stack.pop())
        self._call()

    def new_with_keywords(self, _: Any) -> None:
        self._stack.pop()
        self.reduce(None)

    def build(self, _: Any) -> None:
        self._stack.pop()
        self._stack[-1]
        self.followed.called |= self.followed.imports

    def _callable(self, value: Any) -> None:
        if not isinstance(value, Imported | Opaque):
            raise Malformed

    def _call(self) -> None:
        self.followed.called |= self.followed.imports
        self._stack.append(OPAQUE)

    def persistent_text(self, text: Any) -> None:
        self.followed.persistent.append(text)
        self._stack.append(OPAQUE)

    def persistent_value(self, _: Any) -> None:
        self.persistent_text(self._stack.pop())

    def read_only(self, _: Any) -> None:
        self._stack[-1]


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        machine.tuple_of_top(count)

    return step


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.duplicate,
    "MEMOIZE": _Machine.memoize,
    "EMPTY_LIST": _Machine.empty_list,
    "LIST": _Machine.list_from_mark,
    "DICT": _Machine.make_from_mark,
    "FROZENSET": _Machine.make_from_mark,
    "TUPLE": _Machine.tuple_from_mark,
    "EMPTY_TUPLE": _tuple_of(0),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": _Machine.add_one,
    "SETITEM": _Machine.add_two,
    "APPENDS": _Machine.add_from_mark,
    "SETITEMS": _Machine.add_from_mark,
    "ADDITEMS": _Machine.add_from_mark,
    "PROTO": _Machine.nothing,
    "FRAME": _Machine.nothing,
    "GLOBAL": _Machine.imports,
    "STACK_GLOBAL": _Machine.imports_from_stack,
    "EXT1": _Machine.imports_extension,
    "EXT2": _Machine.imports_extension,
    "EXT4": _Machine.imports_extension,
    "INST": _Machine.instance,
    "OBJ": _Machine.object,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "PERSID": _Machine.persistent_text,
    "BINPERSID": _Machine.persistent_value,
    "NEXT_BUFFER": _Machine.push_opaque,
    "READONLY_BUFFER": _Machine.read_only,
}
