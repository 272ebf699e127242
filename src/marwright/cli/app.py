"""Puts the verbs together and turns errors into one or two lines and exit code 2."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable
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
    predicting,
    rollout,
    scoring,
    server,
    settings,
    signing,
    starting,
    verification,
)
from marwright.cli.going_on import after_an_interrupt
from marwright.console.progress import say
from marwright.errors import MarwrightError
from marwright.processes.interrupts import end_children, interruptible
from marwright.processes.launched import are_many

INTERRUPTED = 130
# No fault of marwright's, wherever it writes: a full disk, a folder that is somebody else's.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EMFILE}

app = typer.Typer(
    name="marwright",
    help="From a table of labelled short texts to a TorchServe archive.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS: list[Callable[..., None]] = [
    *(starting.init, building.build, settings.settings, exploring.explore, exploring.report, deployment.export),
    *(
        packaging.package,
        predicting.predict,
        scoring.score,
        archives.evaluate,
        archives.inspect,
        verification.verify,
        linting.lint,
    ),
    *(signing.keygen, signing.sign, server.serve, server.status, server.stop, rollout.rollout, rollout.rollback),
    *(rollout.retire, bench.bench),
]
for verb in VERBS:
    app.command()(verb)


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
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's character set lacks is shown by its number.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            _run()
    except MarwrightError as error:
        _say_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say_how_to_go_on()
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        _say_error(f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}.")
        sys.exit(MarwrightError.exit_code)


def _run() -> None:
    try:
        app()
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            end_children()
            _say_how_to_go_on()
        raise


def _say_how_to_go_on() -> None:
    say(after_an_interrupt(sys.argv[1:], many_processes=are_many()))


def _say_error(sentence: str) -> None:
    first, *others = sentence.split("\n")
    # Indented, so that no line out of a file or a log looks like one of ours.
    say(f"marwright: {first}", *(f"  {line}" for line in others))
