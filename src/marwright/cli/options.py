"""Arguments that several verbs share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped one such as customs.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; dotted key, YAML value. May be repeated."),
]
ArchiveArgument = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A .mar file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def visible(text: str) -> str:
    """Text of somebody else's as it is safe on a terminal, which would obey control characters in it."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def print_json(value: Any) -> None:
    """Print a result for a script."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
