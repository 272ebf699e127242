"""Writing so that a kill leaves the old file or the new one, and hashing what was written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marwright.errors import MarwrightError


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stable_json(value: Any) -> str:
    """JSON with sorted keys and a final newline: equal values give equal bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    """Parse a JSON file written by :func:`stable_json`."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def link_folder(source: Path, target: Path) -> None:
    """Fill ``target`` with the files of ``source``, as hard links where the file system has them, else as copies.

    Safe because nothing here changes a file: it is written beside its place and moved there.
    """
    shutil.copytree(source, target, copy_function=link_file, dirs_exist_ok=True)


def link_file(source: str | Path, target: str | Path) -> None:
    """Hard-link a file where the file system can, else copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``; move it into place only if the block succeeds.

    Raises:
        MarwrightError: there is something where the folder shall be, or it cannot be written there.
    """
    final = folder.resolve()
    try:
        if final.exists() and (not final.is_dir() or any(final.iterdir())):
            raise MarwrightError(f"{folder}: there is something already; name a folder that is empty or not there.")
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".partial"))
    except OSError as error:
        raise MarwrightError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def move_folder_into_place(partial: Path, final: Path) -> None:
    """Replace the folder ``final`` by ``partial``; between the two steps only the old folder is missing."""
    doomed = final.with_name(f".{final.name}.old")
    shutil.rmtree(doomed, ignore_errors=True)
    if final.exists():
        final.rename(doomed)
    partial.rename(final)
    shutil.rmtree(doomed, ignore_errors=True)
