"""``marwright predict``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marwright.cli.options import ArchiveArgument, JsonOption, option, print_json_list
from marwright.console.progress import say
from marwright.console.terminal import Terminal
from marwright.errors import DataError

if TYPE_CHECKING:
    from marwright.prediction import Item, Prediction

EXIT_REFUSED = 1


def predict(
    archive: ArchiveArgument,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT…", help="Texts to classify; - reads lines of standard input."),
    ] = None,
    file: Annotated[
        Path | None,
        option("FILE", "Texts: a .csv, .tsv or .jsonl file, or one per line.", "--input"),
    ] = None,
    column: Annotated[str | None, option("NAME", "The column with the texts [text, or the only one].")] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Labels to show; the archive's own number if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Classify texts through the archive's own handler, without Java.

    Answers come in the order of the texts. A text that the handler refuses gets its message instead of labels, which
    stops no other; the exit code is then 1.

    Example: marwright predict model_store/pt_classifier.mar "herbal tea"
    """
    from marwright.mar.worker import running
    from marwright.prediction import predictions

    items = _items(archive, texts or [], file, column)
    refused = 0

    def answers() -> Iterator[Prediction]:
        nonlocal refused
        for answer in predictions(worker, items, top_k):
            refused += answer.labels is None
            yield answer

    with running(archive) as worker:
        if as_json:
            print_json_list(answer.as_json() for answer in answers())
        else:
            _print_predictions(answers())
    if refused:
        say(f"{refused:,} of the texts got no labels.")
        raise typer.Exit(EXIT_REFUSED)


def _items(archive: Path, texts: Sequence[str], file: Path | None, column: str | None) -> Iterator[Item]:
    from marwright.prediction import fields_of, given, items_of, lines_of

    if bool(texts) == (file is not None):
        raise DataError("Give texts, or - for lines of standard input, or --input FILE; one of the three.")
    if list(texts) == ["-"] or file == Path("-"):
        return lines_of(sys.stdin.buffer, "standard input")
    return given(texts) if file is None else items_of(file, column, fields_of(archive))


def _print_predictions(answers: Iterable[Prediction]) -> None:
    out = Terminal(soft_wrap=True)
    for answer in answers:
        if answer.labels is None:
            where = "" if answer.item.line is None else f"line {answer.item.line}: "
            out.print(f"{answer.item.text}  ({where}{answer.status}: {answer.message})")
            continue
        out.print(f"{answer.item.text} (not sure enough for a label)" if answer.abstains else answer.item.text)
        out.print_pairs((f"{probability:.3f}", label) for label, probability in answer.labels.items())
