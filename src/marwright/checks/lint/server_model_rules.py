"""The rules for what a config.properties says of models, in JSON: one function each."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.keys import MODEL_KEYS, nearest
from marwright.checks.lint.server_settings import ServerSettings, is_from_environment
from marwright.formats.lenient_json import read_lenient_json

# Model, as TorchServe reads one of ``models`` and of a snapshot; and what it writes around them.
INTEGERS = frozenset(
    {"minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout", "startupTimeout", "parallelLevel"}
)
KEYS = INTEGERS | {"defaultVersion", "marName", "runtimeType"}
SNAPSHOT_KEYS = frozenset({"name", "created", "modelCount", "models"})


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
                yield Problem(
                    key, f"{key}: {where} has {name}: {_shown(value)}, no file", 'write "marName": "NAME.mar"'
                )


def model_without_versions(settings: ServerSettings) -> Problems:
    """TorchServe looks for a version of each model that it loads."""
    for key, models in _sections(settings):
        for name in [name for name, versions in models.items() if versions is None]:
            reason = f"{key} has null for {name[:60]}, and TorchServe fails as it loads a model of that name"
            yield Problem(key, reason, "remove it, or give it versions")


def snapshot_not_json(settings: ServerSettings) -> Problems:
    """TorchServe does not start with a broken one."""
    text = settings.values.get("model_snapshot", "")
    if text and not is_from_environment(text) and not isinstance(_parsed(text).get("models"), dict):
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
    yield "models", _parsed(settings.values.get("models", ""))
    models = _snapshot(settings).get("models")
    yield "model_snapshot", models if isinstance(models, dict) else {}


def _snapshot(settings: ServerSettings) -> dict[str, Any]:
    return _parsed(settings.values.get("model_snapshot", ""))


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = None if is_from_environment(text) else read_lenient_json(text)
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


MODELS_ERRORS = (misspelt_model_setting, model_setting_of_another_kind, snapshot_not_json)
MODELS_WARNINGS = (model_without_versions,)
