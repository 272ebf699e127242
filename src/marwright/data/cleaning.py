"""Takes out of a table what would make its test split lie: duplicates, contradictions, texts seen in training.

Which texts are the same one, the caller says: ``same`` has a key for each text, equal where the model sees the same
(:mod:`marwright.pretrained.identity`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row

DUPLICATE = "the same text with the same label stands before"
CONTRADICTION = "the same text stands with another label, and this one has no majority"
SEEN_IN_TRAIN = "the text stands in train too"
SEEN_IN_TEST = "the text of a validation row stands in test too"
UNSEEN = "the label does not occur in train"
COUNTED_AS_WRONG = "the label does not occur in train; the row counts as a wrong answer"


def remove_duplicates(rows: Sequence[Row], same: Mapping[str, bytes], left_out: LeftOut) -> list[Row]:
    """Keep one row per text and split: the first with the label that more than half of its rows have.

    Where no label has more than half, which of them is right is anybody's guess: none stays.
    """
    alike: dict[tuple[str | None, bytes], list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        alike[row.split, same[row.text]].append(at)
    kept = []
    goes: dict[int, tuple[str, Row]] = {}
    for places in alike.values():
        label, votes = Counter(rows[at].label for at in places).most_common(1)[0]
        if 2 * votes > len(places):
            first = next(at for at in places if rows[at].label == label)
            kept.append(first)
            reasons = ((at, DUPLICATE if rows[at].label == label else CONTRADICTION) for at in places if at != first)
            goes |= {at: (reason, rows[first]) for at, reason in reasons}
        else:
            one = rows[places[0]]
            another = next(rows[at] for at in places if rows[at].label != one.label)
            for at in places:
                goes[at] = CONTRADICTION, another if rows[at].label == one.label else one
    for at, (reason, other) in sorted(goes.items()):
        left_out.add(reason, rows[at], other)
    return [rows[at] for at in sorted(kept)]


def treat_overlap(
    rows: Sequence[Row], same: Mapping[str, bytes], overlap: Literal["remove", "count"], left_out: LeftOut
) -> tuple[list[Row], int]:
    """Remove, or only count, given validation and test rows whose text stands in train too.

    Returns:
        the rows that stay, and how many rows of validation and test were seen in train.
    """
    train = _first_of_each_text(rows, same, "train")
    seen = {at for at, row in enumerate(rows) if row.split in ("validation", "test") and same[row.text] in train}
    if overlap == "count":
        return list(rows), len(seen)
    for at in sorted(seen):
        left_out.add(SEEN_IN_TRAIN, rows[at], train[same[rows[at].text]])
    return [row for at, row in enumerate(rows) if at not in seen], len(seen)


def keep_out_of_validation(
    rows: Sequence[Row], same: Mapping[str, bytes], overlap: Literal["remove", "count"], left_out: LeftOut
) -> list[Row]:
    """Texts of test do not stand in the validation rows that were taken from train, which pick the best epoch.

    With ``remove`` they leave validation; with ``count`` test keeps what train has too, so they go back to train.
    """
    test = _first_of_each_text(rows, same, "test")
    kept = []
    for row in rows:
        if row.split != "validation" or same[row.text] not in test:
            kept.append(row)
        elif overlap == "count":
            kept.append(replace(row, split="train"))
        else:
            left_out.add(SEEN_IN_TEST, row, test[same[row.text]])
    return kept


def _first_of_each_text(rows: Sequence[Row], same: Mapping[str, bytes], split: str) -> dict[bytes, Row]:
    # Backwards, so that the first one is what stays.
    return {same[row.text]: row for row in reversed(rows) if row.split == split}
