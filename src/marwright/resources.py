"""Finds the handlers and configurations that travel with marwright, installed or in a checkout."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the folder ``handlers``, ``configs`` or ``scripts`` of this installation.

    A wheel carries them inside the package; a checkout keeps them at its top.
    """
    inside = _PACKAGE / "shipped" / name
    return inside if inside.is_dir() else _PACKAGE.parents[1] / name


def shipped_handler(name: str) -> ModuleType:
    """Run one of the shipped handlers' modules here, one that imports nothing but the standard library.

    What build and worker must do alike is written once, and no archive can have it otherwise. It is not entered into
    ``sys.modules``, where a module of a user could have the same name.
    """
    spec = importlib.util.spec_from_file_location(name, shipped("handlers") / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
