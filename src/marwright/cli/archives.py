"""``marwright evaluate`` and ``inspect``: what an archive is worth, and what is in it."""

from __future__ import annotations

import io
import os
from errno import EACCES
from pathlib import Path
from typing import Annotated, Any

import typer

from marwright.cli.options import ArchiveArgument, ConfigArgument, JsonOption, SetOption, option, print_json
from marwright.config import load_config
from marwright.console.progress import say
from marwright.console.terminal import Terminal, as_standard_output_takes_it
from marwright.errors import MarwrightError
from marwright.files import write_text
from marwright.road.pipeline import build
from marwright.road.stations import model_to_compress
from marwright.workspace import Run

# In words; not every task, archive and run has each of them.
_SHARES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "top5_accuracy": "top-5 accuracy",
    "expected_calibration_error": "expected calibration error",
    "coverage": "rows that get a label",
    "accuracy_when_answered": "accuracy on these",
    "same_label_as_student": "same label as the student before compression",
}


def evaluate(
    archive: ArchiveArgument,
    config: ConfigArgument,
    settings: SetOption = None,
    as_json: JsonOption = False,
    predictions: Annotated[
        str | None,
        option("FILE", "Write a csv of every test row with its prediction; - is standard output, alone."),
    ] = None,
) -> None:
    """Score the test split through the archive's own handler: accuracy, F1, calibration, each label's figures.

    The configuration names the data; its data station is run if it is not fresh.

    Example: marwright evaluate model_store/pt_classifier.mar configs/customs.yaml --predictions answers.csv
    """
    from marwright.evaluation import evaluate as score
    from marwright.mar.reading import describe

    alone = predictions == "-"
    if as_json and alone:
        raise MarwrightError("--json and --predictions - both want standard output; name a file for the predictions.")
    file = None if predictions is None or alone else _place_for(predictions)
    describe(archive)  # before the data is read, which may take minutes
    loaded = load_config(config, settings or ())
    build(loaded, until="data")
    run = Run(loaded.runs / loaded.name)
    answers = io.StringIO(newline="")
    result = score(archive, run, model_to_compress(loaded, run), answers)
    if file is not None:
        try:
            write_text(file, answers.getvalue())
        except OSError as error:
            raise MarwrightError(f"--predictions {file}: cannot be written: {error.strerror or error}") from error
    elif alone:
        typer.echo(as_standard_output_takes_it(answers.getvalue()), nl=False)
    if as_json:
        print_json(result)
        return
    rows = [
        ("test rows", f"{result['rows']:,}"),
        *_trained_on(result),
        *((told, f"{result[score]:.2%}") for score, told in _SHARES.items() if score in result),
        ("texts/s, batches of 16", f"{result['texts_per_second']:,}"),
    ]
    terminal = Terminal(stderr=alone)
    terminal.print_pairs(rows)
    _print_labels(result["labels"], terminal)
    for sentence in result["warnings"]:
        say(sentence)


def _place_for(predictions: str) -> Path:
    """The file that is written when all rows are scored, refused before that if it cannot be.

    Raises:
        MarwrightError: it is a folder, or nothing can be written there.
    """
    file = Path(predictions)
    if file.is_dir():
        raise MarwrightError(f"--predictions {file}: this is a folder; name a file.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(file.parent, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
    except OSError as error:
        raise MarwrightError(f"--predictions {file}: cannot be written: {error.strerror or error}") from error
    return file


def _print_labels(labels: list[dict[str, Any]], terminal: Terminal) -> None:
    rows = []
    for each in labels:
        shares = (each[name] for name in ("precision", "recall", "f1"))
        figures = ("–" if share is None else f"{share:.2%}" for share in shares)
        rows.append([each["label"], *figures, f"{each['support']:,}"])
    terminal.print_table(["label", "precision", "recall", "F1", "support"], rows)


def _trained_on(result: dict[str, Any]) -> list[tuple[str, str]]:
    """How many rows flatter the archive, and how many nobody could answer."""
    rows = []
    if "counted_as_wrong" in result:
        rows.append(("of these, wrong since train lacks their label", f"{result['counted_as_wrong']:,}"))
    seen = result["trained_on"]
    if seen is None:
        unknown = "not known: the archive carries no digests of its training texts"
        return [*rows, ("of these, trained on", unknown)]
    rows.append(("of these, trained on", f"{seen['rows']:,}"))
    if seen["rows"]:
        accuracy = seen["accuracy_on_others"]
        rows.append(("accuracy on the others", "there are none" if accuracy is None else f"{accuracy:.2%}"))
    return rows


def inspect(archive: ArchiveArgument, as_json: JsonOption = False) -> None:
    """Show what an archive holds and says of itself.

    Example: marwright inspect model_store/pt_classifier.mar
    """
    from marwright.mar.reading import describe

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
    rows += [(str(key), str(value)) for key, value in (about["model_config"] or {}).items()]
    card = about["card"]
    if isinstance(card, dict) and str(card.get("made_by", "")).startswith("marwright"):
        rows += _card_rows(card)
    rows += [(f"  {name}", f"{size:,} bytes") for name, size in sorted(about["files"].items())]
    Terminal().print_pairs(rows)


def _card_rows(card: dict[str, Any]) -> list[tuple[str, str]]:
    """What a card says, or that it lacks what marwright writes there: anybody can write a card."""
    rows = [("made by", str(card["made_by"]))]
    try:
        rows.append(("data", str(card["data"]["origin"])))
        for who in ("teacher", "student", "archive"):
            figures = (float(card[who][name]) for name in ("accuracy", "macro_f1"))
            rows.append((f"{who}, test accuracy", "{:.2%} (macro-F1 {:.2%})".format(*figures)))
    except (KeyError, TypeError, ValueError, OverflowError):
        rows.append(("card", "has not what marwright writes there"))
    return rows
