"""The handlers that TorchServe brings, and what they import that TorchServe itself does not require."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

# Where the module's name is not its package's.
_PACKAGES = {"PIL": "pillow"}


def missing_modules(handler: str) -> list[str]:
    """The modules that one of TorchServe's own handlers imports and that are not installed here.

    They are read from its source, since importing it would name the first one only.

    Returns:
        names in alphabetical order; none if ``handler`` is not one of TorchServe's, such as ``image_classifier``.
    """
    package = importlib.util.find_spec("ts")
    if package is None or package.origin is None:
        return []
    root = Path(package.origin).parent
    waiting, seen, missing = [root / "torch_handler" / f"{handler}.py"], set(), set()
    while waiting:
        file = waiting.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for name in _imported(file, root):
            own, _, rest = name.partition(".")
            if own == "ts":
                waiting.append(root.joinpath(*rest.split(".")).with_suffix(".py"))
            elif importlib.util.find_spec(own) is None:
                missing.add(own)
    return sorted(missing)


def install_command(modules: list[str]) -> str:
    """What installs modules without replacing the PyTorch that is here."""
    packages = sorted(_PACKAGES.get(module, module) for module in modules)
    return f"pip install torch=={version('torch').partition('+')[0]} {' '.join(packages)}"


def _imported(file: Path, root: Path) -> Iterator[str]:
    """Full names of what a module of TorchServe imports in any case, and not only if it can."""
    parents = ("ts", *file.parent.relative_to(root).parts)
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else ()
            yield ".".join((*base, *([node.module] if node.module else [])))
