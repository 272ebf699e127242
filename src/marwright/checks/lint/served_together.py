"""What an archive and the server that is to serve it say to each other's settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from marwright.checks.lint.findings import Finding
from marwright.checks.lint.server_settings import ServerSettings, read_server_settings
from marwright.mar.reading import describe

# ConfigManager's, in bytes.
_DEFAULT_RESPONSE_SIZE = "6553500"


def lint_together(properties: Path, archives: Iterable[Path]) -> Iterator[Finding]:
    """Find archives whose answers are longer than the server takes, and settings that are for another version.

    Only archives of marwright say how long their answers are.

    Raises:
        LintError: the configuration cannot be read.
        ArchiveError: one of the archives cannot be read.
    """
    settings = read_server_settings(str(properties), properties.read_bytes(), cores=1)
    for archive in archives:
        described = describe(archive)
        yield from _too_long(str(properties), settings, archive, described["setup"])
        yield from _of_another_version(str(properties), settings, archive, described["manifest"]["model"])


def _too_long(file: str, settings: ServerSettings, archive: Path, setup: Any) -> Iterator[Finding]:
    most = settings.values.get("max_response_size", _DEFAULT_RESPONSE_SIZE)
    own = setup.get("max_answer_bytes") if isinstance(setup, dict) else None
    if most.isdecimal() and isinstance(own, int) and own >= int(most):
        reason = f"{archive.name} may answer with {own:,} bytes, and an answer of {most} or more ends its worker"
        cure = f"write more than {own}, or build it with a smaller archive.max_answer_bytes"
        line = settings.lines.get("max_response_size")
        yield Finding(file, line, "error", "answers-larger-than-the-server-takes", reason, cure)


def _of_another_version(file: str, settings: ServerSettings, archive: Path, model: Any) -> Iterator[Finding]:
    """TorchServe looks settings up by name and version, and says nothing where it finds none."""
    renamed = {named: name for name, named in settings.loaded() if name}
    name, version = renamed.get(archive.name, model["modelName"]), str(model.get("modelVersion") or "1.0")
    versions = settings.readable_models().get(name, {})
    if versions and version not in versions:
        said = ", ".join(versions)
        reason = f"models has settings for {name} {said}, which {archive.name} ignores: its version is {version}"
        cure = f"write {version} in place of {said}"
        yield Finding(file, settings.lines["models"], "warning", "settings-for-another-version", reason, cure)
