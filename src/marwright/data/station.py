"""Reads a source, cleans and divides its rows, and writes the splits with their card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from marwright.config import DataConfig, SplitConfig
from marwright.console.progress import say, track
from marwright.data import cleaning
from marwright.data.baseline import baseline_accuracy
from marwright.data.card import described, sentences
from marwright.data.labels import check_labels, check_left, labels_of, treat_unseen_labels
from marwright.data.legibility import legibility, tell_legibility
from marwright.data.splitting import Division, divide, torn_groups
from marwright.errors import DataError
from marwright.files import stable_json, write_text
from marwright.pretrained.identity import identities
from marwright.pretrained.tokenization import token_counts
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.sources import Row, Source
from marwright.sources.left_out import LeftOut
from marwright.sources.text_fields import RESERVED
from marwright.tasks import Task
from marwright.workspace import SPLITS, DataFolder

# Of these, and of rows without a split, some must be left to divide.
_NEEDED = (None, "train", "test")
# Longer than any model reads: only the length before cutting is wanted.
UNCUT = 1 << 20


def prepare_data(
    config: DataConfig,
    task: Task,
    *,
    checkpoint: str,
    max_length: int,
    seed: int,
    output: Path,
    kept_at: Path | None = None,
) -> None:
    """Write a :class:`DataFolder`.

    Args:
        config: source, split and overlap.
        task: of the texts.
        checkpoint: whose tokenizer measures the texts for the card, and says which of them are the same one.
        max_length: tokens at which the model will cut.
        seed: of the split.
        output: an empty folder.
        kept_at: where it will be, for the sentence that names a file in it.

    Raises:
        DataError: the source is unusable; the sentence names the file and row.
    """
    folder = DataFolder(output)
    fields = text_fields(config.source)
    reading = config.source.read(skip=config.on_bad_rows == "skip")
    rows = list(track(reading.rows, "reading rows"))
    if not rows:
        left_out = reading.left_out.told()
        raise DataError(f"{reading.origin}: no rows{f'; left out: {left_out}' if left_out else ''}.")
    tokenizer = load_tokenizer(checkpoint, max_length)
    same = identities(tokenizer, (row.text for row in rows))
    try:
        division, seen = clean_and_divide(rows, task, config, same, seed, reading.left_out)
        rows, wrong = treat_unseen_labels(division.rows, task, config.unseen_labels, reading.left_out)
        check_labels(rows, task, reading.left_out)
    except DataError as error:
        left_out = reading.left_out.told()
        raise DataError(f"{error} Left out before: {left_out}." if left_out else str(error)) from error

    tokenizer.enable_truncation(UNCUT)
    texts = [row.text for row in rows]
    lengths = token_counts(tokenizer, texts)
    card = {
        **described(rows, lengths, task, max_length=max_length, counted_as_wrong=sum(wrong.values())),
        "origin": reading.origin,
        "dropped": dict(sorted(reading.left_out.counts.items())),
        "seen_in_train": seen,
        "counted_as_wrong": wrong,
        "split_exceptions": division.exceptions(),
        "text": fields,
        "legibility": legibility(tokenizer, texts),
    }
    tell_legibility(card["legibility"], checkpoint, tokenizer)
    card["baseline"] = {"model": "linear SVM on TF-IDF of words and word pairs"}
    try:
        card["baseline"]["accuracy"] = baseline_accuracy(rows, task, wrong)
    except DataError as error:
        card["baseline"]["skipped"] = str(error)
    if "accuracy" in card["baseline"] and config.split.by_group and any(row.group is not None for row in rows):
        random_split = _random_split_accuracy(rows, task, config.split, seed)
        card["baseline"] |= {} if random_split is None else {"accuracy_random_split": random_split}

    torn = torn_groups(rows) if config.split.by_group else ""
    notes = [*reading.notes, *([torn] if torn else [])]
    card["notes"] = notes
    _save(rows, task, folder)
    write_text(folder.card, stable_json(card))
    reading.left_out.write(folder.left_out)
    for sentence in sentences(card):
        say(f"  {sentence}")
    for note in notes:
        say(f"  {note}")
    if reading.left_out.rows:
        say(f"  every row that was left out, with its place and the reason: {DataFolder(kept_at or output).left_out}")


def text_fields(source: Source) -> dict[str, Any]:
    """The columns or fields of a text, which a request may send too, and what stands between them.

    Raises:
        DataError: one of several has a name that means something else in a request.
    """
    parts, join = source.text_parts
    fields = list(parts)
    if taken := [name for name in fields if name in RESERVED]:
        if len(fields) > 1:
            raise DataError(
                f"data.source: a text column cannot be called {taken[0]}, which means something else in a request. "
                "Rename the column, or join the texts in the table itself."
            )
        fields = []  # such requests send {"text": …}
    return {"fields": fields, "join": join}


def clean_and_divide(
    rows: Sequence[Row], task: Task, config: DataConfig, same: Mapping[str, bytes], seed: int, left_out: LeftOut
) -> tuple[Division, int]:
    """Clean and divide rows; see :mod:`marwright.data.cleaning` and :mod:`marwright.data.splitting`.

    ``same`` says which texts are the same one (:func:`marwright.pretrained.identity.identities`).

    Returns:
        the rows with their splits, and how many rows of validation and test have a text that stands in train.
    """
    # Where overlap is counted, validation and test stay exactly as given, so that figures compare with published ones.
    fixed = ("validation", "test") if config.overlap == "count" else ()
    cleaned = cleaning.remove_duplicates([row for row in rows if row.split not in fixed], same, left_out)
    cleaned += [row for row in rows if row.split in fixed]
    # Before validation rows are taken from train: a text that test has too must not pick the best epoch.
    treated, seen = cleaning.treat_overlap(cleaned, same, config.overlap, left_out)
    check_left([split for split in _NEEDED if any(row.split == split for row in rows)], treated, left_out)
    division = divide(treated, task, config.split, seed, left_out)
    if config.overlap == "count" and any(row.split == "validation" for row in treated):
        return division, seen
    kept = cleaning.keep_out_of_validation(division.rows, same, config.overlap, left_out)
    if config.overlap == "count" and not any(row.split == "validation" for row in kept):
        raise DataError(
            "No validation rows are left: the texts of those that were taken from train stand in test too. Give "
            "validation rows, or test rows with other texts."
        )
    return replace(division, rows=kept), seen


def _random_split_accuracy(rows: Sequence[Row], task: Task, split: SplitConfig, seed: int) -> float | None:
    ungrouped = [Row(row.text, row.label, row.place) for row in rows]
    settings = split.model_copy(update={"by_group": False, "rare_labels": "train_only"})
    try:
        return baseline_accuracy(divide(ungrouped, task, settings, seed, LeftOut()).rows, task)
    except DataError:
        return None  # too few rows of too many labels; one figure less in the card


def _save(rows: Sequence[Row], task: Task, folder: DataFolder) -> None:
    from datasets import Dataset, DatasetDict, Features, Value, disable_progress_bars

    disable_progress_bars()
    names = sorted(labels_of(rows, task))
    features = Features({"text": Value("string"), "label": task.feature(names)})
    splits = {}
    for split in SPLITS:
        chosen = [row for row in rows if row.split == split]
        targets = task.targets([row.label for row in chosen], names)
        columns = {"text": [row.text for row in chosen], "label": targets.tolist()}
        splits[split] = Dataset.from_dict(columns, features=features, split=split)
    DatasetDict(splits).save_to_disk(str(folder.splits))
    write_text(folder.labels, stable_json(names))
