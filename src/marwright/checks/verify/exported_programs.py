"""What a program of ``torch.export`` calls (torch/_export/serde/schema.py)."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from marwright.checks.budget import Budget
from marwright.checks.verify.operators import Operators, known

LARGEST = 8 << 20
_OPERATOR = re.compile(r"torch\.ops\.(\w+)\.(\w+)(?:\.\w+)?")
_PLAIN = re.compile(r"(?:_?operator|math|torch)\.(\w+)")
# Sizes are computed with these; the loader lets sympy evaluate them, and sympy evaluates any Python. It takes line
# ends out first, so what has one, a comment or an escape would be another expression to it.
_EXPRESSION = re.compile(r"[\w +*/(),.<>=~&|'%^-]{0,2000}")
_SYMBOL = re.compile(r"(?:s|u|i|zf|zuf|f)\d+")
_NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{0,30})?(?:e[+-]?\d{1,3})?")
_TREE = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.keyword, ast.Name, ast.Tuple),
    *(ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, each of those with the same name too."""


def is_part(name: str) -> bool:
    """Whether a file of this name, in a zip file, lies beside a program."""
    path = f"/{name.lower()}"
    return path.endswith(("/archive_format", "/serialized_exported_program.json")) or "/models/" in path


def operators_in(stream: BinaryIO, budget: Budget, *, beside_program: bool = False) -> Operators | None:
    """Judge a JSON file of a program. If it lies ``beside_program``, what cannot be read may be one.

    Returns:
        None if it is another JSON file, or none.

    Raises:
        OverBudget: it is longer than that.
    """
    size = stream.seek(0, io.SEEK_END)
    if size > LARGEST:
        return Operators(unknown={"an exported program that is too long to be judged"}) if beside_program else None
    budget.spend(size=4 * size)
    stream.seek(0)
    try:
        program = json.loads(stream.read(), object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        return Operators(unknown={"an exported program that cannot be read"}) if beside_program else None
    members = list(_members(program, budget))
    if not any(name == "graph_module" for name, _ in members):
        return None
    found = Operators()
    for name, value in members:
        if name == "target" and isinstance(value, str):
            _judge_target(value, found)
        elif name == "expr_str" and isinstance(value, str) and not _is_computed(value):
            found.unknown.add(f"the expression {value[:60]}")
    return found


def _members(program: Any, budget: Budget) -> Iterator[tuple[str, Any]]:
    """Name and value of every member of every object."""
    waiting: list[Any] = [program]
    while waiting:
        value = waiting.pop()
        budget.spend(items=1)
        if isinstance(value, _Members):
            yield from value
            waiting += (inner for _, inner in value)
        elif isinstance(value, list):
            waiting += value


def _judge_target(target: str, found: Operators) -> None:
    if match := _OPERATOR.fullmatch(target):
        found.add([f"{match[1]}::{match[2]}"])
    elif (match := _PLAIN.fullmatch(target)) and match[1] in known("(python)"):
        found.known.add(target)
    elif "." in target or ":" in target or not target.isidentifier():
        found.unknown.add(target)


def _is_computed(text: str) -> bool:
    """Whether an expression computes with numbers and sizes, and does nothing else."""
    if not _EXPRESSION.fullmatch(text):
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(map(_is_plain, ast.walk(tree)))


def _is_plain(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name in known("(symbol)")
        case ast.Name(id=name):
            return name in known("(symbol)") or _SYMBOL.fullmatch(name) is not None
        case ast.Constant(value=str(text)):
            # The name of a symbol, or the digits of a number.
            return (_SYMBOL.fullmatch(text) or _NUMBER.fullmatch(text)) is not None
        case ast.Constant(value=value):
            return isinstance(value, int | float)
        case ast.Call():
            return False
    return isinstance(node, _TREE)
