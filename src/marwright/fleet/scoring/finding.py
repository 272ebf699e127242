"""What ``--input`` means: the tables that paths, URLs and globs name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marwright.errors import DataError
from marwright.fleet.scoring.blocks import PART
from marwright.fleet.scoring.storage import Folder, has_changed, is_local, opened, reading

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
ARROW = ".arrow"
"""A file in a folder that ``datasets`` saved."""
# What tells a file from one that was written since, by what different file systems call it.
_CHANGES = ("mtime", "etag", "ETag", "LastModified", "last_modified", "updated", "created")
_WILD = re.compile(r"[*?[]")
# What whoever writes tables leaves beside them: _SUCCESS, .part-0.csv.crc, _delta_log.
_HIDDEN = re.compile(r"/[._]")


@dataclass(frozen=True)
class Found:
    """A table that is there."""

    place: str
    kind: str
    size: int
    changed: str
    """When, or a digest; whatever the file system says."""


def find(places: Sequence[str], output: Folder | None = None) -> list[Found]:
    """The tables that paths, URLs and globs name, sorted, each once.

    Args:
        places: a name that exists is no glob. A glob leaves out names that begin with ``_`` or a dot.
        output: of the job; it and the parts in it are left out.

    Raises:
        DataError: there are none, one is of another type, or one cannot be reached.
    """
    found: dict[str, Found] = {}
    for place in places:
        system, path = opened(place)
        with reading(place):
            hits = _hits(system, path)
        if output is not None:
            hits = [hit for hit in hits if not _is_of_output(system, hit, place, output)]
        if not hits:
            raise DataError(f"{place}: no such file. Quote a glob, so that marwright sees it and not your shell.")
        for hit in hits:
            with reading(_url(system, hit, place)):
                found |= {one.place: one for one in _tables(system, hit, place)}
    if not found:
        raise DataError(f"{places[0]}: no row in it.")
    return [found[place] for place in sorted(found)]


def _is_of_output(system: Any, path: str, given: str, output: Folder) -> bool:
    """Whether a path is the output or a part in it; its name is looked at first, which costs less than the folder."""
    is_called_so = PART.fullmatch(_name(path)) is not None or _name(path) == output.name
    return is_called_so and output.holds(_url(system, path, given))


def see_that_nothing_changed(found: Sequence[Found]) -> None:
    """Look at tables again.

    Raises:
        DataError: one is not what it was when it was found.
    """
    for one in found:
        system, path = opened(one.place)
        system.invalidate_cache()
        with reading(one.place):
            if not _is_there(system, path) or _found(system, path, one.kind, one.place) != one:
                raise has_changed(one.place)


def _hits(system: Any, path: str) -> list[str]:
    wild = _WILD.search(path)
    if wild is None:
        return [path] if _is_there(system, path) else []
    if system.exists(path):
        return [path]
    fixed = path[: wild.start()].rpartition("/")[0]
    hits: list[str] = sorted(system.glob(path))
    if not hits and fixed:
        _is_there(system, fixed)
    if _HIDDEN.search(path[len(fixed) :]):
        return hits
    return [hit for hit in hits if not _HIDDEN.search("/" + hit[len(fixed) :].lstrip("/"))]


def _is_there(system: Any, path: str) -> bool:
    """Whether there is such a file or folder.

    Raises:
        Exception: it cannot be reached, so nobody knows.
    """
    try:
        system.info(path)
    except FileNotFoundError as error:
        # A file system of HTTP says so of whatever goes wrong.
        cause = error.__cause__
        if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) in (404, 410):
            return False
        raise cause from error
    return True


def _tables(system: Any, path: str, given: str) -> list[Found]:
    kind = system.info(path)["type"]
    if kind == "directory":
        return [_found(system, one, ARROW, given) for one in _saved(system, path.rstrip("/"), given)]
    if kind != "file":
        raise DataError(f"{_url(system, path, given)}: neither a file nor a folder.")
    suffix = "." + _name(path).rpartition(".")[2].lower()
    if suffix not in KINDS:
        raise DataError(
            f"{_url(system, path, given)}: cannot read this type of file; give one of {', '.join(KINDS)}, "
            "or a folder that datasets saved."
        )
    return [_found(system, path, suffix, given)]


def _name(path: str) -> str:
    """The last part of a path or URL."""
    is_http = path.startswith(("http://", "https://"))
    return (re.split("[?#]", path, maxsplit=1)[0] if is_http else path).rpartition("/")[2]


def _url(system: Any, path: str, given: str) -> str:
    """The place that opens a path of a file system again."""
    if is_local(system) and "://" not in given:
        return path  # absolute by now
    outer, chained, inner = given.partition("::")
    if chained and "://" in outer:
        return f"{outer.partition('://')[0]}://{path}::{inner}"
    if chained:
        return f"{outer}::{path}" if "://" in path else f"{outer}::{inner.partition('://')[0]}://{path}"
    # A URL of a local file becomes a path, so that each file is found once.
    return path if is_local(system) else str(system.unstrip_protocol(path))


def _saved(system: Any, path: str, given: str) -> list[str]:
    """The arrow files of a folder that ``save_to_disk`` wrote, of all its splits."""
    if system.exists(f"{path}/dataset_dict.json"):
        splits = json.loads(system.cat_file(f"{path}/dataset_dict.json"))["splits"]
        return [file for split in splits for file in _saved(system, f"{path}/{split}", given)]
    if not system.exists(f"{path}/state.json"):
        raise DataError(
            f"{given}: not a folder that datasets saved (save_to_disk). For its files give a glob: {path}/*"
        )
    state = json.loads(system.cat_file(f"{path}/state.json"))
    if state.get("_indices_data_files"):
        raise DataError(f"{given}: its rows are in another order than its files; save it again with a newer datasets.")
    return [f"{path}/{file['filename']}" for file in state["_data_files"]]


def _found(system: Any, path: str, kind: str, given: str) -> Found:
    about = system.info(path)
    changed = next((str(about[name]) for name in _CHANGES if about.get(name) is not None), "")
    return Found(_url(system, path, given), kind, int(about.get("size") or 0), changed)
