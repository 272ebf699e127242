"""Whether an unpacked archive is whole: its hashes, and what its manifest names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marwright.checks.verify.report import Check, failed, passed, skipped
from marwright.files import sha256_of
from marwright.mar import layout
from marwright.mar.reading import description_in

REBUILD = "Build it again, or fetch it again from where it came."
RUNTIMES = ("python", "python3", "LSP")


def files_in(folder: Path) -> list[str]:
    """The names of all files, with their folders, in alphabetical order."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def check_hashes(folder: Path) -> Check:
    """Compare every file with ``hashes.json``, which archives of marwright carry."""
    name = "hashes"
    if not (folder / layout.HASHES).is_file():
        return skipped(name, f"it has no {layout.HASHES}; archives of marwright carry one")
    try:
        hashes = description_in(folder, layout.HASHES)
    except (ValueError, RecursionError) as error:
        return failed(name, f"{layout.HASHES} cannot be read: {error}", REBUILD)
    if not isinstance(hashes, dict):
        return failed(name, f"{layout.HASHES} is no list of hashes by file", REBUILD)
    own = set(files_in(folder)) - {layout.HASHES}
    wrong = [f"{file} has changed" for file in sorted(own & hashes.keys()) if sha256_of(folder / file) != hashes[file]]
    wrong += [f"{file} is missing" for file in sorted(hashes.keys() - own)]
    wrong += [f"{file} was added" for file in sorted(own - hashes.keys())]
    if wrong:
        return failed(name, "; ".join(wrong), REBUILD)
    return passed(name, f"all {len(own)} files are as they were packed")


def check_manifest(folder: Path) -> tuple[Check, dict[str, Any]]:
    """Check what TorchServe wants of the manifest, and that the files it names are there.

    Returns:
        the check, and the manifest's model, which is empty if it cannot be used.
    """
    name = "manifest"
    cure = "Pack it with torch-model-archiver, or with marwright."
    try:
        manifest = description_in(folder, layout.MANIFEST)
        model = dict(manifest["model"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return failed(name, f"it describes no model: {type(error).__name__}: {error}", cure), {}
    missing = [key for key in ("modelName", "modelVersion", "handler") if not _is_text(model.get(key))]
    if missing:
        return failed(name, f"it does not say {', '.join(missing)}", cure), {}
    if (runtime := manifest.get("runtime", "python")) not in RUNTIMES:
        return failed(name, f"TorchServe has no runtime {runtime!r}", 'Write "runtime": "python".'), {}
    keys = ("serializedFile", "modelFile", "configFile", "requirementsFile")
    named = {key: model[key] for key in keys if model.get(key)}
    there = files_in(folder)
    absent = [f"{key} {file!r}" for key, file in named.items() if file not in there]
    if absent:
        return failed(name, f"it names what is not in the archive: {', '.join(absent)}", cure), {}
    return passed(name, f"{model['modelName']} {model['modelVersion']}, handled by {model['handler']}"), model


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()
