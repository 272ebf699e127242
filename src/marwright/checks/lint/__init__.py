"""Finds the settings that TorchServe 0.12 ignores, changes or takes for an invitation."""

from marwright.checks.lint.files import lint, lint_archive, lint_properties
from marwright.checks.lint.findings import Finding, Severity

__all__ = ["Finding", "Severity", "lint", "lint_archive", "lint_properties"]
