"""``marwright init``."""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pydantic import ValidationError

from marwright.cli.options import flag, option
from marwright.config import load_config
from marwright.config.starting import Start, commented_yaml
from marwright.console.progress import say
from marwright.console.terminal import visible
from marwright.data.guessing import Guess, guess, unusual_split
from marwright.errors import ConfigError, DataError
from marwright.files import write_text
from marwright.sources import TableSource

# Text in Latin letters has three to four characters to a token, in other scripts often one; there are two special ones.
CHARACTERS_PER_TOKEN, SPECIAL_TOKENS = 3, 2
LAST_LATIN = "\u024f"


def init(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="A csv, tsv, jsonl or parquet file, a folder, or a hub id.")
    ] = None,
    text: Annotated[list[str] | None, option("COLUMN", "The column of the texts; repeat it for several.")] = None,
    label: Annotated[str | None, option("COLUMN", "The column of the labels.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a text file that is not UTF-8, such as cp1252.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the model; the table's if not given.")] = None,
    output: Annotated[Path | None, option("FILE", "NAME.yaml if not given.")] = None,
    force: Annotated[bool, flag("Replace the file if there is one.", "--force")] = False,
) -> None:
    """Look at a table and write a configuration for it, with comments.

    What is not given is asked on a terminal, and guessed elsewhere.

    Example: marwright init tickets.csv --text subject --text body --label team
    """
    asking = sys.stdin.isatty() and sys.stderr.isatty()
    if table is None:
        if not asking:
            raise ConfigError("Name a table: marwright init tickets.csv --text subject --label team")
        table = _ask("Table (a file, a folder saved by datasets, or a hub id)", None)
    columns = _columns(table, encoding, text or (), label)
    choose = _ask_for if asking else _guessed
    text = text or [choose("text", guess(columns, label=label).text, list(columns))]
    label = label or choose("label", guess(columns, text=text).label, list(columns))
    guessed = guess(columns, text=text, label=label)
    name = name or (_ask("Name of the model", _name_of(table)) if asking else _name_of(table))
    output = output or Path(f"{name}.yaml")
    _refuse_if_there(output, force)
    start = _start(name, table, text, label, guessed, encoding)
    written = commented_yaml(start, str(output))
    _check(written, output)
    _write(output, written, force)
    say(f"{visible(table)}: {start.rows:,} rows, {len(start.labels)} labels")
    say(f"{output} is written: look at it, then marwright build {output}")


def _columns(table: str, encoding: str | None, text: Sequence[str], label: str | None) -> dict[str, list[str]]:
    """The columns with some of their values, and what they look like in words."""
    from marwright.sources.preview import preview

    found = preview(table, encoding)
    guessed = guess(found, text=text, label=label)
    unusual = unusual_split(found, guessed)
    say(f"columns: {visible(', '.join(found))}")
    for what, column in (("texts", guessed.text), ("labels", guessed.label), ("split", guessed.split)):
        if column in found:
            examples = ", ".join(repr(value[:40]) for value in dict.fromkeys(found[column]) if value)
            say(f"  {what}: {visible(column)}? ({visible(examples[:100])} …)")
    if unusual is not None:
        values = visible(", ".join(repr(value[:40]) for value in dict.fromkeys(found[unusual])))
        say(
            f"  {visible(unusual)} looks like a split, but its first values are {values}: it is not used, unless you "
            "write data.source.split, and data.source.splits for names beside train, validation and test"
        )
    return found


def _start(name: str, table: str, text: list[str], label: str, guessed: Guess, encoding: str | None) -> Start:
    """Read the whole table as a build would."""
    split, group = guessed.split, guessed.group
    if label in text:
        raise ConfigError(f"--label {visible(label)}: is a column of the texts too, in which a model would read it.")
    try:
        source = TableSource(name="table", path=table, text=tuple(text), label=label, split=split, encoding=encoding)
    except ValidationError:
        raise ConfigError(f"--encoding {encoding}: no known encoding; write one such as utf-16 or cp1252.") from None
    lengths: list[int] = []
    labels: Counter[str] = Counter()
    for row in source.read(skip=False).rows:
        latin = sum(letter <= LAST_LATIN for letter in row.text)
        lengths.append(latin // CHARACTERS_PER_TOKEN + len(row.text) - latin)
        labels[row.label] += 1
    tokens = SPECIAL_TOKENS + round(float(np.percentile(lengths, 99)))
    return Start(name, table, text, label, split, group, len(lengths), labels, tokens, encoding)


def _check(written: str, output: Path) -> None:
    """See that a build would take it, before it is there."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / output.name
        file.write_text(written, encoding="utf-8")
        try:
            load_config(file)
        except ConfigError as error:
            raise ConfigError(str(error).replace(f"{folder}/", "")) from None


def _refuse_if_there(output: Path, force: bool) -> None:
    if output.is_dir() or not output.parent.is_dir():
        raise ConfigError(f"{output}: no file can be written there; give another with --output.")
    if output.exists() and not force:
        raise ConfigError(f"{output} is there already and stays; --output writes another, --force replaces it.")


def _write(output: Path, written: str, force: bool) -> None:
    try:
        if force:
            write_text(output, written)
        else:
            with output.open("x", encoding="utf-8") as file:
                file.write(written)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror or error}.") from error


def _guessed(what: str, guessed: str | None, columns: list[str]) -> str:
    if guessed is None:
        there = visible(", ".join(columns))
        raise DataError(f"No column looks like the {what}: name it with --{what}. There are {there}.")
    return guessed


def _ask_for(what: str, guessed: str | None, columns: list[str]) -> str:
    while (answer := _ask(f"Column of the {what}", guessed)) not in columns:
        say(f"There is no column {visible(answer)}; there are {visible(', '.join(columns))}.")
    return answer


def _ask(question: str, proposed: str | None) -> str:
    shown = question if proposed is None else f"{question} [{visible(proposed)}]"
    answer: str = typer.prompt(shown, default=proposed, show_default=False, err=True)
    return answer.strip()


def _name_of(table: str) -> str:
    stem = re.sub(r"\.(csv|tsv|jsonl|parquet|xlsx|xlsm)(\.gz)?$", "", Path(table).name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_") or "model"
