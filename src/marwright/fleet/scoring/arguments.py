"""What a job may be asked for; the command line asks for no more than a program does."""

from __future__ import annotations

from collections.abc import Sequence
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


def check(
    *,
    engine: object,
    address: object,
    workers: object,
    top_k: object,
    min_confidence: object,
    batch_size: object,
    prefix: object,
    format: object,
    device: object,
) -> None:
    """See that each of them is what :func:`marwright.score` says.

    Raises:
        MarwrightError: one is not; the message has its name.
    """
    for name, value, known in (("engine", engine, ENGINES), ("format", format, FORMATS)):
        if value not in known:
            raise MarwrightError(f"{name} {value!r}: it is one of {', '.join(known)}.")
    for name, value in (("prefix", prefix), ("device", device)):
        if not isinstance(value, str):
            raise MarwrightError(f"{name} {value!r}: give a text.")
    for name, value in (("workers", workers), ("top_k", top_k)):
        if value is not None and not _is_count(value):
            raise MarwrightError(f"{name} {value!r}: give a whole number from 1 on.")
    if not _is_count(batch_size, MOST_ROWS):
        most = f"{MOST_ROWS:,}, the rows of a part"
        raise MarwrightError(f"batch_size {batch_size!r}: give a whole number from 1 to {most}.")
    if min_confidence is not None and not _is_share(min_confidence):
        raise MarwrightError(f"min_confidence {min_confidence!r}: give a number from 0 to 1.")
    if address is not None and not (isinstance(address, str) and engine == "ray"):
        raise MarwrightError("An address is that of a Ray cluster: give --engine ray too.")


def _is_count(value: object, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
