"""How a sentence lists names that a file holds."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 20
_LONGEST = 60


def listed(names: Iterable[object]) -> str:
    """Names in a row; one that would not be seen stands in quotation marks, a long one is cut, and so are many."""
    shown = [_shown(str(name)) for name in names]
    more = len(shown) - _MOST
    return ", ".join(shown) if more <= 0 else f"{', '.join(shown[:_MOST])} and {more:,} more"


def _shown(name: str) -> str:
    name = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
    return name if name.isprintable() and name == name.strip() and name else repr(name)
