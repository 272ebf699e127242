"""Test rows that no model of a run can answer rightly, since no train row has their label."""

from __future__ import annotations

from marwright.files import read_json
from marwright.workspace import DataFolder


def counted_as_wrong(data: DataFolder, split: str = "test") -> dict[str, int]:
    """How many more rows than the split holds count as wrong answers, by label.

    ``data.unseen_labels: count_as_wrong`` leaves them out of the split, where they would need a label id that no model
    has; every accuracy still has them in its denominator. There are none in other splits than test.
    """
    found: dict[str, int] = read_json(data.card).get("counted_as_wrong", {}) if split == "test" else {}
    return found
