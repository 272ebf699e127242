"""Reads a source, cleans and divides its rows, and writes the splits with their card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from marwright.checkpoints import load_tokenizer
from marwright.config import AboSource, CustomsSource, DataConfig, SplitConfig
from marwright.data import cleaning
from marwright.data.baseline import baseline_accuracy
from marwright.data.card import describe, sentences
from marwright.data.left_out import LeftOut
from marwright.data.rows import Reading, Row
from marwright.data.sources import abo, customs, table
from marwright.data.splitting import check_labels, divide
from marwright.errors import DataError
from marwright.files import stable_json, write_text
from marwright.progress import say, track
from marwright.workspace import SPLITS, DataFolder

# Longer than any model reads: only the length before cutting is wanted.
UNCUT = 1 << 20


def prepare_data(config: DataConfig, *, checkpoint: str, max_length: int, seed: int, output: Path) -> None:
    """Write a :class:`DataFolder`.

    Args:
        config: source, split and overlap.
        checkpoint: whose tokenizer measures the texts for the card.
        max_length: tokens at which the model will cut.
        seed: of the split.
        output: an empty folder.

    Raises:
        DataError: the source is unusable; the sentence names the file and row.
    """
    folder = DataFolder(output)
    reading = read_source(config)
    rows = list(track(reading.rows, "reading rows"))
    if not rows:
        reasons = f" ({dict(reading.left_out.counts)})" if reading.left_out.rows else ""
        raise DataError(f"{reading.origin}: no rows{reasons}")
    rows, seen = clean_and_divide(rows, config, seed, reading.left_out)
    check_labels(rows)

    tokenizer = load_tokenizer(checkpoint, UNCUT)
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch([row.text for row in rows])]
    card = describe(
        rows,
        lengths,
        origin=reading.origin,
        max_length=max_length,
        dropped=reading.left_out.counts,
        seen_in_train=seen,
    )
    card["baseline"] = {"model": "linear SVM on TF-IDF of words and word pairs", "accuracy": baseline_accuracy(rows)}
    if config.split.by_group and any(row.group is not None for row in rows):
        random_split = _random_split_accuracy(rows, config.split, seed)
        card["baseline"] |= {} if random_split is None else {"accuracy_random_split": random_split}

    card["notes"] = reading.notes
    _save(rows, folder)
    write_text(folder.card, stable_json(card))
    reading.left_out.write(folder.left_out)
    for sentence in sentences(card):
        say(f"  {sentence}")
    for note in reading.notes:
        say(f"  {note}")


def read_source(config: DataConfig) -> Reading:
    """Open the source that the configuration names."""
    source = config.source
    if isinstance(source, CustomsSource):
        return customs.read(source)
    if isinstance(source, AboSource):
        return abo.read(source)
    return table.read(source, skip=config.on_bad_rows == "skip")


def clean_and_divide(rows: Sequence[Row], config: DataConfig, seed: int, left_out: LeftOut) -> tuple[list[Row], int]:
    """Clean and divide rows; see :mod:`marwright.data.cleaning` and :mod:`marwright.data.splitting`.

    Returns:
        the rows with their splits, and how many rows of validation and test have a text that stands in train.
    """
    if config.overlap == "count":
        # Validation and test stay exactly as given, so that figures compare with published ones.
        given = [row for row in rows if row.split in ("validation", "test")]
        rest = cleaning.remove_duplicates([row for row in rows if row.split not in ("validation", "test")], left_out)
        cleaned = rest + given
    else:
        cleaned = cleaning.remove_duplicates(rows, left_out)
    # Before validation rows are taken from train: a text that test has too must not pick the best epoch.
    treated, seen = cleaning.treat_overlap(cleaned, config.overlap, left_out)
    divided = divide(treated, config.split, seed, left_out)
    return cleaning.keep_out_of_validation(divided, config.overlap, left_out), seen


def _random_split_accuracy(rows: Sequence[Row], split: SplitConfig, seed: int) -> float | None:
    ungrouped = [Row(row.text, row.label, row.place) for row in rows]
    settings = split.model_copy(update={"by_group": False, "rare_labels": "train_only"})
    try:
        return baseline_accuracy(divide(ungrouped, settings, seed, LeftOut()))
    except DataError:
        return None  # too few rows of too many labels; one figure less in the card


def _save(rows: Sequence[Row], folder: DataFolder) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, disable_progress_bars

    disable_progress_bars()
    names = sorted({row.label for row in rows})
    ids = {name: index for index, name in enumerate(names)}
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    splits = {}
    for split in SPLITS:
        chosen = [row for row in rows if row.split == split]
        columns = {"text": [row.text for row in chosen], "label": [ids[row.label] for row in chosen]}
        splits[split] = Dataset.from_dict(columns, features=features, split=split)
    DatasetDict(splits).save_to_disk(str(folder.splits))
    write_text(folder.labels, stable_json(names))
