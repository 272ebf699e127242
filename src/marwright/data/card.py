"""Describes the data a model was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marwright.data.cleaning import SEEN_IN_TRAIN
from marwright.data.labels import labels_of
from marwright.metrics.verdicts import never_tested
from marwright.sources.rows import Row
from marwright.tasks import SINGLE_LABEL, Task
from marwright.workspace import SPLITS

PERCENTILES = (50, 90, 95, 99, 100)


def described(
    rows: Sequence[Row], lengths: Sequence[int], task: Task, *, max_length: int, counted_as_wrong: int
) -> dict[str, Any]:
    """What the data card says of the rows that stay, each with its split.

    Args:
        rows: all of them.
        lengths: tokens of every row's text before it is cut at ``max_length``, special tokens included.
        task: of the rows.
        max_length: in tokens.
        counted_as_wrong: how many more test rows there are, whose label train lacks.
    """
    per_label = Counter(label for row in rows for label in task.labels_in(row.label))
    return {
        # What is not named is one label, so that data made before there were others is still fresh.
        **({} if task.name == SINGLE_LABEL else {"task": task.name}),
        "rows": {split: sum(row.split == split for row in rows) for split in SPLITS},
        "labels": len(per_label),
        "rows_per_label": dict(sorted(per_label.items())),
        "majority_share": {
            split: _majority(rows, split, counted_as_wrong if split == "test" else 0) for split in SPLITS
        },
        "labels_without_test_rows": sorted(set(per_label) - labels_of(rows, task, "test")),
        "tokens": {
            **{f"p{p}": int(np.percentile(lengths, p, method="higher")) for p in PERCENTILES},
            "mean": round(float(np.mean(lengths)), 1),
            "max_length": max_length,
            "cut_share": round(float(np.mean(np.asarray(lengths) > max_length)), 4),
        },
    }


def _majority(rows: Sequence[Row], split: str, besides: int) -> float:
    labels = Counter(row.label for row in rows if row.split == split)
    return round(labels.most_common(1)[0][1] / (labels.total() + besides), 4) if labels else 0.0


def sentences(card: Mapping[str, Any]) -> list[str]:
    """The card in words, for the terminal."""
    rows, tokens = card["rows"], card["tokens"]
    lines = [
        f"{sum(rows.values()):,} rows from {card['origin']}: "
        + ", ".join(f"{rows[split]:,} {split}" for split in SPLITS)
        + f"; {card['labels']} labels, the largest has {card['majority_share']['test']:.1%} of test",
        f"tokens: median {tokens['p50']}, 99 % up to {tokens['p99']}; "
        f"{tokens['cut_share']:.1%} of texts are cut at {tokens['max_length']}",
    ]
    lines += [f"left out {count:,} rows: {why}" for why, count in card["dropped"].items() if count]
    if card["seen_in_train"] and not card["dropped"].get(SEEN_IN_TRAIN):
        lines.append(f"{card['seen_in_train']:,} rows of validation and test stand in train too, and stay")
    if wrong := sum(card["counted_as_wrong"].values()):
        lines.append(f"test rows whose label train lacks: {wrong:,}; in every accuracy they count as wrong")
    lines += _exceptions(card["split_exceptions"])
    untested = never_tested(card)
    if untested is not None:
        lines.append(untested)
    baseline = card["baseline"]
    if "accuracy" not in baseline:
        return [*lines, f"no linear model on word counts to compare with: {baseline['skipped']}"]
    line = f"a linear model on word counts reaches {baseline['accuracy']:.1%} on test"
    if "accuracy_random_split" in baseline:
        line += f" ({baseline['accuracy_random_split']:.1%} if groups were torn apart by a random split)"
    return [*lines, line]


def _exceptions(exceptions: Mapping[str, Sequence[str]]) -> list[str]:
    lines = []
    if labels := exceptions.get("train_only"):
        lines.append(f"{len(labels)} labels are too rare to be divided; all their rows are in train")
    if labels := exceptions.get("one_kept_in_train"):
        lines.append(f"of {len(labels)} labels one row or group is in train, which would have none of them otherwise")
    lines += [f"{split} would be empty, and has one row or group instead" for split in exceptions.get("filled", ())]
    return lines
