"""``marwright predict``, ``evaluate`` and ``inspect``: everything that needs an archive and no Java."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from marwright.cli.options import ArchiveArgument, ConfigArgument, JsonOption, SetOption, print_json, print_json_list
from marwright.errors import DataError
from marwright.progress import say
from marwright.terminal import Terminal

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
        typer.Option("--input", metavar="FILE", help="Texts: a .csv, .tsv or .jsonl file, or one per line."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column with the texts [text, or the only one].")
    ] = None,
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
    from marwright.archive.worker import running
    from marwright.prediction import predictions

    items = _items(texts or [], file, column)
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


def _items(texts: Sequence[str], file: Path | None, column: str | None) -> Iterator[Item]:
    from marwright.prediction import given, items_of, lines_of

    if bool(texts) == (file is not None):
        raise DataError("Give texts, or - for lines of standard input, or --input FILE; one of the three.")
    if list(texts) == ["-"] or file == Path("-"):
        return lines_of(sys.stdin.buffer, "standard input")
    return given(texts) if file is None else items_of(file, column)


def _print_predictions(answers: Iterable[Prediction]) -> None:
    out = Terminal(soft_wrap=True)
    for answer in answers:
        if answer.labels is None:
            where = "" if answer.item.line is None else f"line {answer.item.line}: "
            out.print(f"{answer.item.text}  ({where}{answer.status}: {answer.message})")
            continue
        out.print(f"{answer.item.text} (not sure enough for a label)" if answer.abstains else answer.item.text)
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for label, probability in answer.labels.items():
            table.add_row(f"{probability:.3f}", label)
        out.print(table)


def evaluate(
    archive: ArchiveArgument, config: ConfigArgument, settings: SetOption = None, as_json: JsonOption = False
) -> None:
    """Score the test split through the archive's own handler: accuracy, F1, calibration.

    The configuration names the data; its data station is run if it is not fresh.

    Example: marwright evaluate model_store/pt_classifier.mar configs/customs.yaml --json
    """
    from marwright.config import load_config
    from marwright.evaluation import evaluate as score
    from marwright.pipeline import build
    from marwright.stations import model_to_compress
    from marwright.workspace import Run

    loaded = load_config(config, settings or ())
    build(loaded, until="data")
    run = Run(loaded.runs / loaded.name)
    result = score(archive, run, model_to_compress(loaded, run))
    if as_json:
        print_json(result)
        return
    rows = [
        ("test rows", f"{result['rows']:,}"),
        ("accuracy", f"{result['accuracy']:.2%}"),
        ("macro-F1", f"{result['macro_f1']:.2%}"),
        ("weighted F1", f"{result['weighted_f1']:.2%}"),
        ("top-5 accuracy", f"{result['top5_accuracy']:.2%}"),
        ("expected calibration error", f"{result['expected_calibration_error']:.2%}"),
    ]
    if "coverage" in result:
        rows.append(("rows that get a label", f"{result['coverage']:.2%}"))
    if "accuracy_when_answered" in result:
        rows.append(("accuracy on these", f"{result['accuracy_when_answered']:.2%}"))
    if "same_label_as_student" in result:
        rows.append(("same label as the student before compression", f"{result['same_label_as_student']:.2%}"))
    rows.append(("texts/s, batches of 16", f"{result['texts_per_second']:,}"))
    _print_rows(rows)


def inspect(archive: ArchiveArgument, as_json: JsonOption = False) -> None:
    """Show what an archive holds and says of itself.

    Example: marwright inspect model_store/pt_classifier.mar
    """
    from marwright.archive.reading import describe

    about = describe(archive)
    if as_json:
        print_json(about)
        return
    model = about["manifest"]["model"]
    rows = [
        ("model", f"{model['modelName']} {model.get('modelVersion', '')}"),
        ("size", f"{about['bytes'] / 1e6:.1f} MB, {sum(about['files'].values()) / 1e6:.1f} MB unpacked"),
        ("handler", model["handler"]),
    ]
    if about["labels"]:
        rows.append(("labels", str(about["labels"])))
    rows += [(key, str(value)) for key, value in (about["model_config"] or {}).items()]
    card = about["card"]
    if isinstance(card, dict) and str(card.get("made_by", "")).startswith("marwright"):
        rows += _card_rows(card)
    rows += [(f"  {name}", f"{size:,} bytes") for name, size in sorted(about["files"].items())]
    _print_rows(rows)


def _card_rows(card: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("made by", card["made_by"]), ("data", card["data"]["origin"])]
    for who in ("teacher", "student", "archive"):
        rows.append((f"{who}, test accuracy", f"{card[who]['accuracy']:.2%} (macro-F1 {card[who]['macro_f1']:.2%})"))
    return rows


def _print_rows(rows: list[tuple[str, str]]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    Terminal().print(table)
