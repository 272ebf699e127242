"""What must be said of an archive whatever else is said of it: one sentence each, the same in log, report and card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marwright.metrics.classification import difference_interval


def warnings(data: Mapping[str, Any], accuracy: float) -> list[str]:
    """Everything that speaks against an archive, the worst first, by its run's data card and its test accuracy."""
    found = (against_majority(data, accuracy), against_baseline(data, accuracy), never_tested(data))
    return [sentence for sentence in found if sentence is not None]


def against_majority(data: Mapping[str, Any], accuracy: float) -> str | None:
    """Whether the archive is no better than an answer that never changes."""
    share = majority_share(data)
    # The card's shares are rounded to four digits.
    if share is None or accuracy > share + 5e-5:
        return None
    return (
        f"No better than one answer to everything: the archive is right on {accuracy:.1%} of test rows, "
        f"and always giving their most frequent label would be on {share:.1%}."
    )


def against_baseline(data: Mapping[str, Any], accuracy: float) -> str | None:
    """Whether the archive is worse than the linear model on word counts, which costs next to nothing.

    Both are measured on the same test rows. Which rows the linear model gets right is not kept, so the interval is that
    of two samples (Newcombe 1998), which is wider than a paired one would be: what it calls worse, is worse.
    """
    baseline = baseline_accuracy(data)
    if baseline is None or accuracy >= baseline:
        return None
    rows = _test_rows(data)
    low, high = difference_interval(accuracy, baseline, rows)
    told = (
        f"Worse than the linear baseline: a linear model on word counts is right on {baseline:.1%} of the "
        f"{rows:,} test rows, the archive on {accuracy:.1%}"
    )
    interval = f"95 % interval of the difference {100 * low:+.1f} to {100 * high:+.1f} points"
    return f"{told} ({interval})." if high < 0 else f"{told}; the difference may be chance ({interval})."


def majority_share(data: Mapping[str, Any]) -> float | None:
    """The share of test rows that have their most frequent label."""
    found: float | None = data.get("majority_share", {}).get("test")
    return None if found is None else found * data["rows"]["test"] / max(1, _test_rows(data))


def _test_rows(data: Mapping[str, Any]) -> int:
    """Test rows, with those of labels that train lacks where they count as wrong: every accuracy counts them."""
    rows: int = data["rows"]["test"] + sum(data.get("counted_as_wrong", {}).values())
    return rows


def baseline_accuracy(data: Mapping[str, Any]) -> float | None:
    """Test accuracy of the linear model on word counts, if it was measured."""
    found: float | None = data["baseline"].get("accuracy")
    return found


def never_tested(data: Mapping[str, Any]) -> str | None:
    """How many labels have no test row."""
    count = len(data.get("labels_without_test_rows") or ())
    if not count:
        return None
    are, them, they = ("is", "it", "it is") if count == 1 else ("are", "them", "they are")
    return (
        f"{count:,} of {data['labels']:,} labels {are} not tested: no test row has {them}, so nothing is known of how "
        f"well {they} answered."
    )
