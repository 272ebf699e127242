"""The rules for which archives a server loads, and for what its file says of models: one function each."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.keys import MODEL_KEYS, nearest
from marwright.checks.lint.server_settings import ServerSettings
from marwright.formats.lenient_json import read_lenient_json

# Model, as TorchServe reads one of ``models`` and of a snapshot; and what it writes around them.
INTEGERS = frozenset(
    {"minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout", "startupTimeout", "parallelLevel"}
)
KEYS = INTEGERS | {"defaultVersion", "marName", "runtimeType"}
SNAPSHOT_KEYS = frozenset({"name", "created", "modelCount", "models"})
_NO_FILE = re.compile(r"[\"'\[\]{}*?]")
_EXAMPLE = "write load_models=a.mar,b.mar without blanks or quotes, or load_models=all"


def no_archive(settings: ServerSettings) -> Problems:
    """TorchServe takes each name as it stands, knows no patterns, and goes on without what it does not find."""
    for entry in settings.known.get("load_models", "").split(","):
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
        if all_named or name in renamed:
            loads = ", ".join(sorted(names))
            reason = f"load_models loads {loads}: the settings that models has for {name} are ignored"
            cure = (
                "write them into the archive's model-config.yaml, or give both the same name; GET /models/NAME shows it"
            )
            yield Problem("models", reason, cure)


def misspelt_model_setting(settings: ServerSettings) -> Problems:
    """TorchServe says nothing of keys it does not know."""
    for key, where, own in _models(settings):
        for name in sorted(own.keys() - KEYS):
            reason = f"{key}: {where} has {name[:60]}, which TorchServe does not know there and ignores"
            if meant := nearest(name, KEYS):
                cure = f"you probably mean {meant}"
            elif name in MODEL_KEYS:
                cure = f"{name} counts in the archive's model-config.yaml only"
            else:
                cure = "remove it"
            yield Problem(key, reason, cure)
    for name in sorted(_snapshot(settings).keys() - SNAPSHOT_KEYS):
        meant = nearest(name, SNAPSHOT_KEYS)
        reason = f"model_snapshot has {name[:60]}, which TorchServe does not know and ignores"
        yield Problem("model_snapshot", reason, f"you probably mean {meant}" if meant else "remove it")


def model_setting_of_another_kind(settings: ServerSettings) -> Problems:
    """Gson takes numbers, also in quotes; the least is 1, and whatever is less counts as missing."""
    for key, where, own in _models(settings):
        for name, value in own.items():
            if name in INTEGERS and _number(value) is None:
                yield Problem(key, f"{key}: {where} has {name}: {_shown(value)}, no number", f'write "{name}": 1')
            elif name in INTEGERS and not 1 <= (_number(value) or 0) < 1 << 31:
                reason = f"{key}: {where} has {name}: {_shown(value)}, which counts as missing or as another number"
                yield Problem(key, reason, f"write 1 or more, and at most {(1 << 31) - 1}")
            elif name == "defaultVersion" and not isinstance(value, bool):
                yield Problem(key, f"{key}: {where} has {name}: {_shown(value)}", "write true or false, without quotes")
            elif name == "marName" and not isinstance(value, str):
                reason = f"{key}: {where} has {name}: {_shown(value)}, no file"
                yield Problem(key, reason, 'write "marName": "NAME.mar"')


def model_without_versions(settings: ServerSettings) -> Problems:
    for key, models in _sections(settings):
        for name in [name for name, versions in models.items() if versions is None]:
            reason = f"{key} has null for {name[:60]}, and TorchServe fails as it loads a model of that name"
            yield Problem(key, reason, "remove it, or give it versions")


def snapshot_not_json(settings: ServerSettings) -> Problems:
    """TorchServe does not start with a broken one."""
    if settings.known.get("model_snapshot") and not isinstance(_snapshot(settings).get("models"), dict):
        cure = "TorchServe writes snapshots itself: take one from logs/config, or remove model_snapshot"
        yield Problem("model_snapshot", 'model_snapshot is no JSON with "models": {"NAME": {"VERSION": {…}}}', cure)


def _models(settings: ServerSettings) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Key, place and settings of every version of every model."""
    for key, models in _sections(settings):
        for name, versions in models.items():
            for version, own in versions.items() if isinstance(versions, dict) else ():
                if isinstance(own, dict):
                    yield key, f"{name[:60]} {version[:20]}", own


def _sections(settings: ServerSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """The keys under which models stand, and what stands there by name."""
    yield "models", _parsed(settings, "models")
    models = _snapshot(settings).get("models")
    yield "model_snapshot", models if isinstance(models, dict) else {}


def _snapshot(settings: ServerSettings) -> dict[str, Any]:
    return _parsed(settings, "model_snapshot")


def _parsed(settings: ServerSettings, key: str) -> dict[str, Any]:
    try:
        found = read_lenient_json(settings.known.get(key, ""))
    except ValueError:
        return {}  # another rule says it
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> int | None:
    """The whole number that Gson makes of a value; it cuts fractions off, but not those of a text."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[+-]?[0-9]{1,10}", value) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    return int(value) if is_number else None


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]


ERRORS = (
    no_archive,
    settings_under_another_name,
    misspelt_model_setting,
    model_setting_of_another_kind,
    snapshot_not_json,
)
WARNINGS = (nothing_loaded, model_without_versions)
