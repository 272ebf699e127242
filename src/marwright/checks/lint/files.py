"""Lints files by what they are: archives, a server's properties, a model's YAML."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from marwright.checks.lint import (
    model_rules,
    server_access_rules,
    server_address_rules,
    server_door_rules,
    server_model_rules,
    server_number_rules,
    server_rules,
)
from marwright.checks.lint.findings import Finding, findings
from marwright.checks.lint.model_settings import read_model_settings
from marwright.checks.lint.server_settings import read_server_settings
from marwright.errors import LintError
from marwright.mar import layout
from marwright.mar.reading import description_in, manifest_in, unpacked

LARGEST = 128 << 10
_SERVER_RULES = (
    server_access_rules,
    server_address_rules,
    server_door_rules,
    server_number_rules,
    server_rules,
    server_model_rules,
)
SERVER_ERRORS = [rule for rules in _SERVER_RULES for rule in rules.ERRORS]
SERVER_WARNINGS = [rule for rules in _SERVER_RULES for rule in rules.WARNINGS]


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
    match file.suffix.lower():
        case ".mar":
            with unpacked(file) as folder:
                return lint_archive(file, folder, cores)
        case ".yaml" | ".yml":
            return _lint_model(str(file), file, cores)
        case ".properties":
            return lint_properties(file, cores)
    raise LintError(f"{file}: give a model-config .yaml, a config.properties or a .mar file.")


def lint_properties(file: Path, cores: int | None = None) -> list[Finding]:
    """Find the traps in a server's configuration, whatever its name is; as :func:`lint` does."""
    server = read_server_settings(str(file), _bytes(file), cores=cores or os.cpu_count() or 1)
    return findings(str(file), server, SERVER_ERRORS, SERVER_WARNINGS)


def lint_archive(file: Path, folder: Path, cores: int | None = None) -> list[Finding]:
    """As :func:`lint`, for an archive that is unpacked in ``folder``."""
    model = manifest_in(folder, file)[0]
    found = []
    if model.get("envelope"):
        reason = "TorchServe replaces the envelope that the manifest names by the server's service_envelope, or by none"
        cure = "remove it from the manifest, and read requests in the handler"
        found.append(Finding(f"{file}!{layout.MANIFEST}", None, "warning", "envelope-in-manifest", reason, cure))
    if name := model.get("configFile"):
        return found + _lint_model(f"{file}!{name}", folder / name, cores, _threads(folder))
    reason = "no model-config.yaml: one request at a time, 100 ms of waiting, and one worker per core"
    return [*found, Finding(str(file), None, "warning", "no-model-config", reason, "pack one with --config-file")]


def _lint_model(shown: str, file: Path, cores: int | None, threads: int | None = None) -> list[Finding]:
    data = _bytes(file)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LintError(f"{shown}: not UTF-8 text: {error}.") from error
    settings = read_model_settings(shown, text, cores=cores or os.cpu_count() or 1, threads=threads)
    return findings(shown, settings, model_rules.ERRORS, model_rules.WARNINGS)


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
