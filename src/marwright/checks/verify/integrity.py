"""Whether an unpacked archive is whole: its hashes, what its manifest names, and its settings."""

from __future__ import annotations

from marwright.checks.lint import lint_archive
from marwright.checks.verify.report import Outcome, failed, passed, skipped
from marwright.checks.verify.subject import NotThere, Subject
from marwright.errors import ArchiveError, LintError
from marwright.files import sha256_of
from marwright.mar import layout
from marwright.mar.names import can_be_asked_for
from marwright.mar.reading import description_in

REBUILD = "Build it again, or fetch it again from where it came."
RUNTIMES = ("python", "python3", "LSP")


def unpacks(subject: Subject) -> Outcome:
    """It has been unpacked."""
    return passed(f"{len(subject.files)} files, {subject.size / 1e6:.1f} MB, none outside its folder")


def hashes(subject: Subject) -> Outcome:
    """Every file is as ``hashes.json`` says, which archives of marwright carry."""
    if layout.HASHES not in subject.files:
        return skipped(f"it has no {layout.HASHES}; archives of marwright carry one")
    try:
        listed = description_in(subject.folder, layout.HASHES)
    except (ValueError, RecursionError) as error:
        return failed(f"{layout.HASHES} cannot be read: {error}", REBUILD)
    if not isinstance(listed, dict):
        return failed(f"{layout.HASHES} is no list of hashes by file", REBUILD)
    own = set(subject.files) - {layout.HASHES}
    changed = [name for name in sorted(own & listed.keys()) if sha256_of(subject.folder / name) != listed[name]]
    wrong = [f"{name} has changed" for name in changed]
    wrong += [f"{name} is missing" for name in sorted(listed.keys() - own)]
    wrong += [f"{name} was added" for name in sorted(own - listed.keys())]
    if wrong:
        return failed("; ".join(wrong), REBUILD)
    return passed(f"all {len(own)} files are as they were packed")


def manifest(subject: Subject) -> Outcome:
    """It says what TorchServe wants of it, and the files that it names are there."""
    cure = "Pack it with torch-model-archiver, or with marwright."
    try:
        written = description_in(subject.folder, layout.MANIFEST)
        model = dict(written["model"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return failed(f"it describes no model: {type(error).__name__}: {error}", cure)
    missing = [key for key in ("modelName", "modelVersion", "handler") if not _is_text(model.get(key))]
    if missing:
        return failed(f"it does not say {', '.join(missing)}", cure)
    if not can_be_asked_for(model["modelName"]):
        detail = f"nobody can ask for modelName {model['modelName']!r}: it is a part of the path /predictions/NAME"
        return failed(detail, "Pack it under a name without /, : and ?, of letters, digits, - and _.")
    if (runtime := written.get("runtime", "python")) not in RUNTIMES:
        return failed(f"TorchServe has no runtime {runtime!r}", 'Write "runtime": "python".')
    keys = ("serializedFile", "modelFile", "configFile", "requirementsFile")
    absent = [f"{key} {model[key]!r}" for key in keys if model.get(key) and model[key] not in subject.files]
    if absent:
        return failed(f"it names what is not in the archive: {', '.join(absent)}", cure)
    subject.model = model
    return passed(f"{model['modelName']} {model['modelVersion']}, handled by {model['handler']}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def settings(subject: Subject) -> Outcome:
    """TorchServe reads them as they are meant."""
    if not subject.model:
        raise NotThere("no manifest")
    try:
        found = lint_archive(subject.file, subject.folder)
    except (LintError, ArchiveError) as error:
        return failed(str(error).removeprefix(f"{subject.file}: "), "Mend its model-config.yaml and pack it again.")
    errors = [finding for finding in found if finding.severity == "error"]
    if errors:
        return failed("; ".join(finding.reason for finding in errors), errors[0].cure)
    if found:
        return passed(f"no error, {len(found)} to think about: `marwright lint ARCHIVE`")
    return passed("TorchServe will read its model-config.yaml as it is meant")
