"""Folders of templates, filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from marwright.files import write_text

SUFFIX = ".j2"


def fill_in(templates: Path, folder: Path, facts: Mapping[str, Any], but: str | None = None) -> None:
    """Write what each template of a folder becomes, under its own name without ``.j2``.

    Args:
        templates: a folder, with others in it.
        folder: where they are written.
        facts: everything that a template names.
        but: the name of a folder of templates that is left out.
    """
    environment = Environment(loader=FileSystemLoader(templates), undefined=StrictUndefined, keep_trailing_newline=True)
    for name in environment.list_templates(filter_func=lambda name: name.endswith(SUFFIX)):
        if name.partition("/")[0] != but:
            file = folder / name.removesuffix(SUFFIX)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, environment.get_template(name).render(facts))


def temporary_mb(archive: Path) -> int:
    """How much a server writes, in MB: the unpacked archive for the most part; logs and sockets are small."""
    return 256 + 2 * (archive.stat().st_size >> 20)
