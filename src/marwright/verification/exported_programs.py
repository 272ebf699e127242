"""What a program of ``torch.export`` calls (torch/_export/serde/schema.py)."""

from __future__ import annotations

import io
import json
import re
from typing import Any, BinaryIO

from marwright.budget import Budget
from marwright.verification.operators import Operators, known

LARGEST = 8 << 20
_OPERATOR = re.compile(r"torch\.ops\.(\w+)\.(\w+)(?:\.\w+)?")
_PLAIN = re.compile(r"(?:_?operator|math|torch)\.(\w+)")
# Sizes are computed with these; the loader lets sympy evaluate them, and sympy evaluates any Python.
_EXPRESSION = re.compile(r"[\w\s+*/(),.<>=~&|-]{0,2000}")
_WORD = re.compile(r"[A-Za-z_]\w*")
_SYMBOL = re.compile(r"(?:s|u|i|zf|zuf|f)\d+")
_CHUNK = 1 << 16


def operators_in(stream: BinaryIO, budget: Budget) -> Operators | None:
    """Judge a JSON file of a program.

    Args:
        stream: the file.
        budget: what may be spent.

    Returns:
        None if it is another JSON file, or none.

    Raises:
        OverBudget: it is longer than that.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    beginning = stream.read(_CHUNK)
    if b'"graph_module"' not in beginning and not _mentions_one(stream, size):
        return None
    if size > LARGEST:
        return Operators(unknown={"an exported program that is too long to be judged"})
    budget.spend(size=16 * size)
    stream.seek(0)
    try:
        program = json.loads(stream.read())
    except (ValueError, RecursionError):
        return Operators(unknown={"an exported program that cannot be read"})
    found = Operators()
    waiting: list[Any] = [program]
    while waiting:
        value = waiting.pop()
        budget.spend(items=1)
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "target" and isinstance(inner, str):
                    _judge_target(inner, found)
                elif key == "expr_str" and isinstance(inner, str):
                    _judge_expression(inner, found)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found


def _mentions_one(stream: BinaryIO, size: int) -> bool:
    end = b""
    while chunk := stream.read(_CHUNK):
        if b'"graph_module"' in end + chunk:
            return True
        end = chunk[-32:]
    return False


def _judge_target(target: str, found: Operators) -> None:
    if match := _OPERATOR.fullmatch(target):
        found.add([f"{match[1]}::{match[2]}"])
    elif (match := _PLAIN.fullmatch(target)) and match[1] in known("(python)"):
        found.known.add(target)
    elif "." in target or ":" in target or not target.isidentifier():
        found.unknown.add(target)


def _judge_expression(text: str, found: Operators) -> None:
    words = set(_WORD.findall(text)) - known("(symbol)")
    if not _EXPRESSION.fullmatch(text) or not all(map(_SYMBOL.fullmatch, words)):
        found.unknown.add(f"the expression {text[:60]}")
