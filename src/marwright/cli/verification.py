"""``marwright verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marwright.cli.options import ArchiveArgument, JsonOption, flag, option, print_json
from marwright.console.progress import say, waiting
from marwright.console.terminal import Terminal

if TYPE_CHECKING:
    from marwright.checks.verify import Report

EXIT_FAILED = 1
MARKS = {"passed": "✓", "failed": "✗", "skipped": "–"}


def verify(
    archive: ArchiveArgument,
    public_key: Annotated[Path | None, option("KEY.pub", "Whose signature must be beside the archive.")] = None,
    run: Annotated[bool, flag("Run the archive's code too, or only look at it.", "--run/--no-run")] = True,
    run_anyway: Annotated[bool, flag("Run its code even if a check before that has failed.", "--run-anyway")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check an archive without Java: its bytes, its handler, its answers.

    Exits with 1 if a check fails. Unless --no-run is given, or a check before that fails, it runs the handler, which is
    code of whoever made it.

    Example: marwright verify model_store/pt_classifier.mar --public-key release.key.pub
    """
    from marwright.checks.verify import verify as report_on

    with waiting("checking"):
        report = report_on(archive, public_key=public_key, run=run, run_anyway=run_anyway)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if not report.holds:
        raise typer.Exit(EXIT_FAILED)


def _print(report: Report) -> None:
    out = Terminal(soft_wrap=True)
    width = max(len(check.name) for check in report.checks)
    for check in report.checks:
        out.print(f"{MARKS[check.state]} {check.name:{width}}  {check.detail}")
        if check.cure:
            out.print(f"  {'':{width}}  {check.cure}")
    if report.could_execute:
        out.print("What in it could execute code:")
    for name, how in report.could_execute.items():
        out.print(f"  {name}: {how}")
    failed = [check.name for check in report.failures]
    say(f"{report.archive}: {'fails: ' + ', '.join(failed) if failed else 'all that was checked holds'}")
