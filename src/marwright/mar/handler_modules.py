"""Which Python modules an archive must carry beside its handler."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from marwright.errors import ArchiveError
from marwright.mar import layout
from marwright.resources import shipped

SERVING = ("torch", "torchserve", "tokenizers")
"""What a worker imports besides the standard library and the archive, whatever its runtime."""


def handler_modules(handler: Path, runtimes: Iterable[str] = (layout.TORCHSCRIPT,)) -> list[Path]:
    """Find what a handler needs of the modules beside it and of the shipped ones.

    ``runtimes`` are modules that it loads by name.

    Raises:
        ArchiveError: the handler is missing or is not Python.
    """
    found = {name: shipped("handlers") / f"{name}.py" for name in runtimes}
    waiting = [handler, *found.values()]
    while waiting:
        for name in _imported(waiting.pop()):
            for folder in (handler.parent, shipped("handlers")):
                module = folder / f"{name}.py"
                if module.is_file() and name not in found and module.resolve() != handler.resolve():
                    found[name] = module
                    waiting.append(module)
                    break
    return [found[name] for name in sorted(found)]


def _imported(file: Path) -> set[str]:
    """The first parts of all names that a file imports."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError:
        raise ArchiveError(f"{file}: no such handler; archive.handler names a Python file") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{file}: not a Python file: {error}") from error
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
