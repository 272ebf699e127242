"""Takes out of a table what would make its test split lie: duplicates, contradictions, texts seen in training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from marwright.data.left_out import LeftOut
from marwright.data.rows import Row

DUPLICATE = "the same text with the same label stands before"
CONTRADICTION = "the same text stands with another, at least as frequent label"
SEEN_IN_TRAIN = "the text stands in train too"
SEEN_IN_TEST = "the text of a validation row stands in test too"


def remove_duplicates(rows: Sequence[Row], left_out: LeftOut) -> list[Row]:
    """Keep one row per text and split.

    A text with several labels keeps its most frequent one, the first of those that are equally frequent.
    """
    votes: dict[tuple[str | None, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        votes[row.split, row.text][row.label] += 1
    winner = {key: labels.most_common(1)[0][0] for key, labels in votes.items()}
    kept: dict[tuple[str | None, str], Row] = {}
    for row in rows:
        key = row.split, row.text
        if row.label != winner[key]:
            left_out.add(CONTRADICTION, row)
        elif key in kept:
            left_out.add(DUPLICATE, row)
        else:
            kept[key] = row
    return list(kept.values())


def treat_overlap(rows: Sequence[Row], overlap: Literal["remove", "count"], left_out: LeftOut) -> tuple[list[Row], int]:
    """Remove, or only count, given validation and test rows whose text stands in train too.

    Returns:
        the rows that stay, and how many rows of validation and test were seen in train.
    """
    train = {row.text for row in rows if row.split == "train"}
    seen = [row.split in ("validation", "test") and row.text in train for row in rows]
    if overlap == "count":
        return list(rows), sum(seen)
    return left_out.sift(SEEN_IN_TRAIN, rows, seen), sum(seen)


def keep_out_of_validation(rows: Sequence[Row], overlap: Literal["remove", "count"], left_out: LeftOut) -> list[Row]:
    """Texts of test do not stand in validation, which picks the best epoch.

    With ``remove`` they leave validation; with ``count`` test keeps what train has too, so they go back to train.
    """
    test = {row.text for row in rows if row.split == "test"}
    shared = [row.split == "validation" and row.text in test for row in rows]
    if overlap == "remove":
        return left_out.sift(SEEN_IN_TEST, rows, shared)
    return [replace(row, split="train") if leaks else row for row, leaks in zip(rows, shared, strict=True)]
