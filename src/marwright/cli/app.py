"""Puts the verbs together and turns errors into one or two lines and exit code 2."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from marwright import __version__
from marwright.cli import (
    archives,
    bench,
    building,
    deployment,
    exploring,
    linting,
    packaging,
    rollout,
    server,
    signing,
    verification,
)
from marwright.errors import MarwrightError
from marwright.progress import say

app = typer.Typer(
    name="marwright",
    help="From a table of labelled short texts to a TorchServe archive.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(building.build)
app.command()(exploring.explore)
app.command()(exploring.report)
app.command()(deployment.export)
app.command()(packaging.package)
app.command()(archives.predict)
app.command()(archives.evaluate)
app.command()(archives.inspect)
app.command()(verification.verify)
app.command()(linting.lint)
app.command()(signing.keygen)
app.command()(signing.sign)
app.command()(server.serve)
app.command()(server.stop)
app.command()(rollout.rollout)
app.command()(rollout.rollback)
app.command()(rollout.retire)
app.command()(bench.bench)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"marwright {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    try:
        app()
    except MarwrightError as error:
        say(f"marwright: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("marwright: stopped; what was finished stays, and the same command goes on from there")
        sys.exit(130)
