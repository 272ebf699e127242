"""Arguments that several verbs share."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from marwright.console.terminal import visible_json


def option(metavar: str, what: str, *names: str, **bounds: Any) -> Any:
    """An option with a value; typer names it after its parameter if no name is given."""
    return typer.Option(*names, metavar=metavar, help=what, **bounds)


def flag(what: str, *names: str) -> Any:
    """An option without a value."""
    return typer.Option(*names, help=what)


_CONFIG = typer.Argument(
    metavar="CONFIG", help="A YAML file, or the name of a shipped one such as customs.", show_default=False
)
ConfigArgument = Annotated[str, _CONFIG]
OptionalConfigArgument = Annotated[str | None, _CONFIG]
SetOption = Annotated[
    list[str] | None,
    option("KEY=VALUE", "Override a setting; dotted key, YAML value. May be repeated.", "--set"),
]
ArchiveArgument = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A .mar file.")]
JsonOption = Annotated[bool, flag("Print the result as JSON on standard output.", "--json")]


class Engine(StrEnum):
    """What work is divided among."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[Engine, option("ENGINE", "local: this machine; ray: a Ray cluster.", "--engine")]
AddressOption = Annotated[
    str | None,
    option("ADDRESS", "Of a Ray cluster that runs, or auto; none: Ray on this machine alone.", "--address"),
]


def print_json(value: Any) -> None:
    """Print a result for a script, in characters that standard output has."""
    typer.echo(_json(value))


def print_json_list(values: Iterable[Any]) -> None:
    """Print a list for a script, each item as soon as it is there."""
    before = "["
    for value in values:
        typer.echo(f"{before}\n{textwrap.indent(_json(value), '  ')}", nl=False)
        before = ","
    typer.echo("[]" if before == "[" else "\n]")


def _json(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    return visible_json(text)
