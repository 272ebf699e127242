"""What a job may be asked for; the command line asks for no more than a program does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from marwright.errors import DataError, MarwrightError
from marwright.fleet.scoring.blocks import MOST_ROWS
from marwright.fleet.scoring.parts import FORMATS

ENGINES = ("local", "ray")


def path(name: str, given: object) -> str:
    """A path or URL.

    Raises:
        DataError: it is none.
    """
    if not isinstance(given, str | Path) or not str(given):
        raise DataError(f"{name} {given!r}: give a path or a URL.")
    return str(given)


def file(name: str, given: object) -> Path:
    """A file of this machine.

    Raises:
        DataError: it is a URL, or no path at all.
    """
    found = path(name, given)
    if "://" in found:
        raise DataError(f"{name} {found}: a URL. Fetch it, and give its file.")
    return Path(found)


def paths(name: str, given: object) -> list[str]:
    """One path or URL, or several.

    Raises:
        DataError: there is none, or one is none.
    """
    if not isinstance(given, list | tuple):
        return [path(name, given)]
    if not given:
        raise DataError(f"{name}: none is given. Give a path, a URL or a glob.")
    return [path(name, one) for one in given]


def texts(given: object) -> tuple[str, ...]:
    """The columns with the texts.

    Raises:
        DataError: there is no name of one.
    """
    found = (given,) if isinstance(given, str) else given
    if not isinstance(found, Sequence) or not found or not all(isinstance(one, str) and one for one in found):
        raise DataError(f"text {given!r}: name the column with the texts: --text.")
    return tuple(found)


def check(**given: object) -> None:
    """See that each argument is what :func:`marwright.score` says.

    Raises:
        MarwrightError: one is not; the message has its name.
    """
    for name, (fits, cure) in _RULES.items():
        if not fits(given[name]):
            raise MarwrightError(f"{name} {given[name]!r}: {cure}.")
    if given["address"] is not None and not (_is_text(given["address"]) and given["engine"] == "ray"):
        raise MarwrightError("An address is that of a Ray cluster: give --engine ray too.")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_count_or_none(value: object) -> bool:
    return value is None or _is_count(value)


def _is_share_or_none(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1)


_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "engine": (ENGINES.__contains__, f"it is one of {', '.join(ENGINES)}"),
    "format": (FORMATS.__contains__, f"it is one of {', '.join(FORMATS)}"),
    "prefix": (_is_text, "give a text"),
    "device": (_is_text, "give a text"),
    "workers": (_is_count_or_none, "give a whole number from 1 on"),
    "top_k": (_is_count_or_none, "give a whole number from 1 on"),
    "batch_size": (
        partial(_is_count, most=MOST_ROWS),
        f"give a whole number from 1 to {MOST_ROWS:,}, the rows of a part",
    ),
    "min_confidence": (_is_share_or_none, "give a number from 0 to 1"),
}
