"""Finds the handlers and configurations that travel with marwright, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the folder ``handlers`` or ``configs`` of this installation.

    A wheel carries them inside the package; a checkout keeps them at its top.
    """
    inside = _PACKAGE / "shipped" / name
    return inside if inside.is_dir() else _PACKAGE.parents[1] / name
