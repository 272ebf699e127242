"""Knows whether a station's result is still what its settings and inputs would give."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from marwright.files import read_json, sha256_of, stable_json, write_text


def fingerprint(revision: int, settings: dict[str, Any], inputs: dict[str, str]) -> str:
    """Hash of everything a station's result depends on.

    Args:
        revision: of the station's own code; raised when its results change.
        settings: the configuration it reads.
        inputs: a digest for every input, by name.
    """
    value = {"revision": revision, "settings": settings, "inputs": inputs}
    text = json.dumps(value, sort_keys=True, default=lambda section: section.model_dump(mode="json"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(path: Path) -> str:
    """Hash of a file, or of a folder's file names and bytes; ``absent`` if there is none."""
    if path.is_file():
        return sha256_of(path)
    if not path.is_dir():
        return "absent"
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    parts = [f"{file.relative_to(path)} {sha256_of(file)}" for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def write_stamp(stamp: Path, made_from: str, result: Path) -> None:
    """Record what a result was made from, and which files it has."""
    write_text(stamp, stable_json({"made_from": made_from, "digest": digest_of(result), "files": _sizes(result)}))


def digest_if_fresh(stamp: Path, made_from: str, result: Path) -> str | None:
    """The digest of a result that was made from the same things and still has its files; otherwise nothing."""
    if not stamp.is_file():
        return None
    try:
        record: dict[str, Any] = read_json(stamp)
        if record["made_from"] != made_from or record["files"] != _sizes(result):
            return None
        digest: str = record["digest"]
    except (ValueError, KeyError, TypeError):
        return None
    return digest


def recorded_digest(stamp: Path) -> str:
    """The digest of a result whose stamp a build has just found or written.

    Raises:
        OSError, ValueError, KeyError: there is no such stamp, or it is damaged.
    """
    digest: str = read_json(stamp)["digest"]
    return digest


def _sizes(path: Path) -> dict[str, int]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path.parent)): file.stat().st_size for file in files}
