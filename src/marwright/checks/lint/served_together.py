"""What an archive and the server that is to serve it say to each other's settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from marwright.checks.lint.findings import Finding
from marwright.formats.java_properties import read_properties
from marwright.mar.reading import describe

# ConfigManager's, in bytes.
_DEFAULT_RESPONSE_SIZE = "6553500"


def lint_together(properties: Path, archives: Iterable[Path]) -> Iterator[Finding]:
    """Find the archives whose answers may be longer than the server takes, which ends their workers.

    Args:
        properties: the server's configuration.
        archives: ``.mar`` files that it is to serve; only those of marwright say how long their answers are.

    Raises:
        ArchiveError: one of them cannot be read.
    """
    read = read_properties(properties.read_bytes())
    most = read.values.get("max_response_size", _DEFAULT_RESPONSE_SIZE)
    for archive in archives:
        setup = describe(archive)["setup"]
        own = setup.get("max_answer_bytes") if isinstance(setup, dict) else None
        if most.isdecimal() and isinstance(own, int) and own >= int(most):
            reason = f"{archive.name} may answer with {own:,} bytes, and an answer of {most} or more ends its worker"
            cure = f"write more than {own}, or build it with a smaller archive.max_answer_bytes"
            line = read.lines.get("max_response_size")
            yield Finding(str(properties), line, "error", "answers-larger-than-the-server-takes", reason, cure)
