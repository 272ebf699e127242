"""Lints files by what they are: archives, a server's properties, a model's YAML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from marwright.checks.lint.findings import Finding, findings
from marwright.checks.lint.model_rules import MODEL_ERRORS, MODEL_WARNINGS
from marwright.checks.lint.model_settings import read_model_settings
from marwright.checks.lint.server_access_rules import ACCESS_ERRORS, ACCESS_WARNINGS
from marwright.checks.lint.server_address_rules import ADDRESS_ERRORS
from marwright.checks.lint.server_door_rules import DOOR_ERRORS, DOOR_WARNINGS
from marwright.checks.lint.server_launcher_rules import LAUNCHER_ERRORS
from marwright.checks.lint.server_loading_rules import LOADING_ERRORS, LOADING_WARNINGS
from marwright.checks.lint.server_model_rules import MODELS_ERRORS, MODELS_WARNINGS
from marwright.checks.lint.server_number_rules import NUMBER_ERRORS
from marwright.checks.lint.server_rules import WRITING_ERRORS, WRITING_WARNINGS
from marwright.checks.lint.server_settings import read_server_settings
from marwright.errors import LintError
from marwright.mar import layout
from marwright.mar.reading import description_in, manifest_in, unpacked

LARGEST = 128 << 10
SERVER_ERRORS = (
    *ACCESS_ERRORS,
    *ADDRESS_ERRORS,
    *DOOR_ERRORS,
    *LAUNCHER_ERRORS,
    *NUMBER_ERRORS,
    *WRITING_ERRORS,
    *LOADING_ERRORS,
    *MODELS_ERRORS,
)
SERVER_WARNINGS = (*ACCESS_WARNINGS, *DOOR_WARNINGS, *WRITING_WARNINGS, *LOADING_WARNINGS, *MODELS_WARNINGS)


def lint(file: Path, cores: int | None = None) -> list[Finding]:
    """Find the traps in a model-config.yaml, a config.properties, or the configuration inside a .mar file.

    Args:
        file: its name says which it is.
        cores: of the machine that will serve; this one's if not given.

    Returns:
        the findings, in the order of the file.

    Raises:
        LintError: it cannot be read, or is none of the three.
        ArchiveError: it is a .mar file that cannot be read.
    """
    cores = cores or os.cpu_count() or 1
    match file.suffix.lower():
        case ".mar":
            with unpacked(file) as folder:
                return lint_archive(file, folder, cores)
        case ".yaml" | ".yml":
            settings = read_model_settings(str(file), _text(_bytes(file), str(file)), cores=cores)
            return findings(str(file), settings, MODEL_ERRORS, MODEL_WARNINGS)
        case ".properties":
            return lint_properties(file, cores)
    raise LintError(f"{file}: give a model-config .yaml, a config.properties or a .mar file.")


def lint_properties(file: Path, cores: int | None = None) -> list[Finding]:
    """Find the traps in a server's configuration, whatever its name is; as :func:`lint` does."""
    server = read_server_settings(str(file), _bytes(file), cores=cores or os.cpu_count() or 1)
    return findings(str(file), server, SERVER_ERRORS, SERVER_WARNINGS)


def lint_archive(file: Path, folder: Path, cores: int | None = None) -> list[Finding]:
    """Find the traps in the model's configuration inside an archive.

    Args:
        file: the archive, shown with each finding.
        folder: where it is unpacked.
        cores: as for :func:`lint`, and so are the errors.
    """
    model = manifest_in(folder, file)[0]
    found = list(_envelope(file, model.get("envelope")))
    name = model.get("configFile")
    if not name:
        reason = "no model-config.yaml: one request at a time, 100 ms of waiting, and one worker per core"
        return [*found, Finding(str(file), None, "warning", "no-model-config", reason, "pack one with --config-file")]
    shown = f"{file}!{name}"
    text = _text(_bytes(folder / name), shown)
    settings = read_model_settings(shown, text, cores=cores or os.cpu_count() or 1, threads=_threads(folder))
    return found + findings(shown, settings, MODEL_ERRORS, MODEL_WARNINGS)


def _envelope(file: Path, envelope: object) -> Iterator[Finding]:
    if envelope:
        reason = "TorchServe replaces the envelope that the manifest names by the server's service_envelope, or by none"
        cure = "remove it from the manifest, and read requests in the handler"
        yield Finding(f"{file}!{layout.MANIFEST}", None, "warning", "envelope-in-manifest", reason, cure)


def _threads(folder: Path) -> int | None:
    """Compute threads of a worker, which only archives of marwright say."""
    with suppress(OSError, ValueError, RecursionError):
        setup = description_in(folder, layout.SETUP)
        if isinstance(setup, dict) and isinstance(threads := setup.get("threads"), int):
            return threads
    return None


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST:
            raise LintError(f"{file}: larger than {LARGEST >> 10} KB, which no configuration is.")
        return file.read_bytes()
    except OSError as error:
        raise LintError(f"{file}: cannot be read: {error.strerror or error}.") from error


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LintError(f"{file}: not UTF-8 text: {error}.") from error
