"""What keeps a ``config.json`` from being read, as a sentence that names it."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from marwright.pretrained.pointers import is_pointer

_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def wrong_in_config(file: Path) -> str | None:
    """The cause and its cure; none if loaders can read the file, or if something else keeps them from it."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if is_pointer(file):
        return f"{file} is a pointer of Git LFS and not the file itself: run git lfs pull there"
    if content.startswith(_MARKS):
        return f"{file} begins with a byte order mark, which loaders do not read: save it as UTF-8 without one"
    try:
        settings = json.loads(content)
    except ValueError:
        return None
    if isinstance(settings, dict) and not _are_labels(settings.get("id2label")):
        return f"id2label in {file} is no object with numbers for its keys. Remove id2label and label2id from the file"
    return None


def _are_labels(names: Any) -> bool:
    return names is None or (isinstance(names, dict) and all(key.lstrip("-").isdecimal() for key in names))
