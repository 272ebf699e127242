"""``marwright settings``."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import Annotated

import typer

from marwright.cli.options import JsonOption, flag, print_json
from marwright.config.described import Setting, editor_schema
from marwright.config.described import settings as all_settings
from marwright.config.starting import in_yaml
from marwright.errors import ConfigError


def settings(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="Only this key and what is below it, such as teacher.")
    ] = None,
    as_schema: Annotated[
        bool, flag("Print the JSON schema of a configuration file, for editors.", "--json-schema")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every setting of a configuration file: what it is, what it may be, and its default.

    An editor that speaks to yaml-language-server checks and completes a file that begins with the comment
    ``# yaml-language-server: $schema=marwright.schema.json``.

    Example: marwright settings archive

    Example: marwright settings --json-schema > marwright.schema.json
    """
    if as_schema:
        print_json(editor_schema())
        return
    every = all_settings()
    found = [each for each in every if key is None or f"{each.key}.".startswith(f"{key.rstrip('.')}.")]
    if not found:
        raise ConfigError(f"{key}: no such setting{_guess(str(key), [each.key for each in every])}")
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for each in found:
        typer.echo(_in_lines(each))


def _in_lines(setting: Setting) -> str:
    only = f" (only with {setting.only_with})" if setting.only_with else ""
    described = setting.description.rstrip(".")
    if setting.is_section:
        return f"\n{setting.key}:{only}  {'required' if setting.required else 'optional'}, a section\n    {described}"
    return f"{setting.key}: {default_in_words(setting)}{only}\n    {setting.wanted}: {described}"


def default_in_words(setting: Setting) -> str:
    """The default as YAML writes it, or that there is no default."""
    if setting.required:
        return "required"
    if setting.default is None:
        return "nothing, if left out"
    return in_yaml(setting.default)


def _guess(key: str, every: list[str]) -> str:
    last = key.rpartition(".")[2]
    near = [each for each in every if each.rpartition(".")[2] == last] or difflib.get_close_matches(key, every, n=3)
    return f"; did you mean {' or '.join(dict.fromkeys(near[:3]))}?" if near else "; `marwright settings` shows all."
