"""``marwright lint``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marwright.cli.options import JsonOption, flag, print_json
from marwright.console.progress import say
from marwright.console.terminal import Terminal

if TYPE_CHECKING:
    from marwright.checks.lint import Finding

EXIT_ERRORS = 1


def lint(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="A model-config .yaml, a config.properties or a .mar file.")
    ],
    strict: Annotated[bool, flag("Warnings count as errors.", "--strict")] = False,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores of the machine that will serve; this one's if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the settings that TorchServe ignores, changes or takes for an invitation.

    Exits with 1 if there is an error.

    Example: marwright lint model-config.yaml config.properties model_store/pt_classifier.mar --strict
    """
    from marwright.checks.lint import lint as findings_of

    found = [finding for file in files for finding in findings_of(file, cores)]
    errors = sum(strict or finding.severity == "error" for finding in found)
    if as_json:
        print_json({"errors": errors, "warnings": len(found) - errors, "findings": [asdict(one) for one in found]})
    else:
        _print(found)
        say(f"{_count(errors, 'error')}, {_count(len(found) - errors, 'warning')} in {_count(len(files), 'file')}")
    if errors:
        raise typer.Exit(EXIT_ERRORS)


def in_a_line(finding: Finding) -> str:
    """A finding with its place and its cure."""
    return f"{_place(finding)}; {finding.cure}"


def _place(finding: Finding) -> str:
    place = finding.file if finding.line is None else f"{finding.file}:{finding.line}"
    return f"{place}: {finding.severity}: {finding.reason} [{finding.rule}]"


def _print(found: Sequence[Finding]) -> None:
    out = Terminal(soft_wrap=True)
    for finding in found:
        out.print(_place(finding))
        out.print(f"    {finding.cure}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
