"""Which labels a new version has that the old one has not, and the other way: clients know labels by name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable
from pathlib import Path

from marwright.mar import layout
from marwright.mar.reading import member_of

_SHOWN = 5
# How much of two names must be the same for one to be the other under a new name.
_ALIKE = 0.75


def labels_of(archive: Path) -> frozenset[str] | None:
    """The labels of an archive; ``None`` if it names none, as one with another task.

    Raises:
        ArchiveError: it cannot be read.
    """
    written = member_of(archive, layout.LABELS)
    if written is None:
        return None
    try:
        return frozenset(map(str, json.loads(written).values()))
    except (ValueError, AttributeError, RecursionError):
        return None  # verifying says what is wrong with it


def change_of(old: Collection[str] | None, new: Collection[str] | None) -> str | None:
    """Say in a few words how a set of labels differs from another; ``None`` if it does not. Order is no matter."""
    if old is None or new is None:
        return None if old == new else f"the {'old' if new is None else 'new'} version alone has labels"
    removed, added, renamed = sorted(set(old) - set(new)), sorted(set(new) - set(old)), []
    for label in list(removed):
        # The same word in another spelling, before a word that is only alike.
        alike = [one for one in added if one.casefold().split() == label.casefold().split()]
        if alike := alike or difflib.get_close_matches(label, added, n=1, cutoff=_ALIKE):
            renamed.append(f"{label!r} is {alike[0]!r}")
            removed.remove(label)
            added.remove(alike[0])
    parts = [("removed", map(repr, removed)), ("added", map(repr, added)), ("perhaps renamed", renamed)]
    return "; ".join(f"{what}: {text}" for what, words in parts if (text := _listed(words))) or None


def _listed(words: Iterable[str]) -> str:
    first, more = (every := list(words))[:_SHOWN], len(every) - _SHOWN
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")
