"""Folders of templates, filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from marwright.config import Config
from marwright.errors import ExportError
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


def facts_of(config: Config, archive: Path) -> dict[str, Any]:
    """What templates say of an archive; its name is the build's.

    Raises:
        ExportError: it is not there.
    """
    if not archive.is_file():
        raise ExportError(f"{archive}: no archive there. Build it: marwright build CONFIG")
    return {
        "name": config.name,
        "image": config.name.lower(),
        "version": config.archive.version,
        # What a server writes: the unpacked archive for the most part; logs and sockets are small.
        "tmp_mb": 256 + 2 * (archive.stat().st_size >> 20),
    }
