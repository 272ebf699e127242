"""The rule for what TorchServe's launcher and its Java part read differently in one file."""

from __future__ import annotations

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.server_settings import ServerSettings
from marwright.formats.torchserve_launcher import LAUNCHER_KEYS


def read_otherwise_by_the_launcher(settings: ServerSettings) -> Problems:
    """The launcher starts Java with what it reads line by line; who reads the file as Java does sees something else."""
    for key in LAUNCHER_KEYS:
        to_java, to_launcher = settings.values.get(key, ""), settings.launcher.get(key, "")
        if to_java.split() != to_launcher.split():
            reason = (
                f"TorchServe's launcher reads line by line, and finds {_shown(key, to_launcher)}, "
                f"where a reader of Java's properties finds {_shown(key, to_java)}"
            )
            cure = f"write {key}=VALUE in one line that no backslash leads to, with = and without backslashes"
            yield Problem(key, reason, cure)


def _shown(key: str, value: str) -> str:
    return f"{key}={value[:80]}" if value else f"no {key}"


LAUNCHER_ERRORS = (read_otherwise_by_the_launcher,)
