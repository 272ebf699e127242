"""Imports a handler as TorchServe does and says what it found; run in a process of its own.

Arguments: the handler as the manifest names it, and the file for the findings.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def main(handler: str, findings: Path) -> None:
    """Write what was found as JSON."""
    findings.write_text(json.dumps(_probed(handler)), encoding="utf-8")


def _probed(handler: str) -> dict[str, Any]:
    from ts.utils.util import list_classes_from_module

    file, _, function = handler.partition(":")
    name = Path(file).name.removesuffix(".py")
    try:
        # TorchServe hides an import that fails inside the handler: it then looks for a handler of its own.
        there = importlib.util.find_spec(name) is not None
        module = importlib.import_module(name if there else f"ts.torch_handler.{name}")
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        return {
            "error": f"{type(error).__name__}: {error}",
            "missing": missing,
            "file": Path(frame.filename).name,
            "line": frame.lineno,
        }
    if hasattr(module, function or "handle"):
        return {"function": function or "handle"}
    classes = list_classes_from_module(module)
    return {
        "no_function": function or "handle",
        "classes": [own.__name__ for own in classes],
        "lacks": [method for own in classes for method in ("initialize", "handle") if not hasattr(own, method)],
    }


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    # A thread that the handler has started would keep this process alive, as it may in a worker.
    os._exit(0)
