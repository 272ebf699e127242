"""The rules for which archives a server loads, and under which names: one function each."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.server_settings import ServerSettings, is_from_environment

_NO_FILE = re.compile(r"[\"'\[\]{}*?]")
_EXAMPLE = "write load_models=a.mar,b.mar without blanks or quotes, or load_models=all"


def no_archive(settings: ServerSettings) -> Problems:
    """TorchServe takes each name as it stands, knows no patterns, and goes on without what it does not find."""
    text = settings.values.get("load_models", "")
    if is_from_environment(text):
        return
    for entry in text.split(","):
        if entry != entry.strip() or any(part != part.strip() for part in entry.split("=", 1)):
            reason = f"load_models has {entry[:80]!r}, and TorchServe looks for a file with these blanks in its name"
            yield Problem("load_models", reason, _EXAMPLE)
        elif _NO_FILE.search(entry) and "://" not in entry:
            reason = f"load_models has {entry[:80]}, and TorchServe looks for a file of this very name"
            yield Problem("load_models", reason, _EXAMPLE)


def nothing_loaded(settings: ServerSettings) -> Problems:
    """It may be meant, but no word says so to TorchServe."""
    text = settings.values.get("load_models", "all").strip()
    if text.lower() in ("", "none"):
        reason = f"load_models={text} loads nothing" + (", with an error in the log" if text else "")
        yield Problem("load_models", reason, "write load_models=all, or name the archives")


def settings_under_another_name(settings: ServerSettings) -> Problems:
    """Settings are looked up by the name that a model is loaded under: ``NAME=FILE`` takes those of NAME.

    A file without a name is loaded under the name in its manifest, so then any settings may be the right ones, but for
    those of a file that was given another name.
    """
    loaded = settings.loaded()
    names = {name for name, _ in loaded if name}
    renamed = {PurePosixPath(file).name.removesuffix(".mar") for name, file in loaded if name}
    all_named = loaded and len(names) == len(loaded)
    for name in sorted(settings.readable_models().keys() - names):
        if not all_named and name not in renamed:
            continue
        reason = f"load_models loads {', '.join(sorted(names))}: the settings that models has for {name} are ignored"
        cure = "write them into the archive's model-config.yaml, or give both the same name; GET /models/NAME shows it"
        yield Problem("models", reason, cure)


LOADING_ERRORS = (no_archive, settings_under_another_name)
LOADING_WARNINGS = (nothing_loaded,)
