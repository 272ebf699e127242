"""Divides rows into train, validation and test: stratified by label, groups kept whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from marwright.config import SplitConfig
from marwright.data.left_out import LeftOut
from marwright.data.rows import Row
from marwright.errors import DataError

RARE = "the label has too few rows in train or to divide"


def divide(rows: Sequence[Row], config: SplitConfig, seed: int, left_out: LeftOut) -> list[Row]:
    """Give every row without a split one.

    Rows that their source has divided stay where they are; if it gave no validation rows, they are taken from train.

    Raises:
        DataError: only some rows have a split, there is no train or no test, or a label has too few rows to divide.
    """
    given = Counter(row.split for row in rows)
    if set(given) == {None}:
        return _assign(rows, config.validation, config.test, config, seed, left_out)
    if None in given:
        place = next(row.place for row in rows if row.split is None)
        raise DataError(f"{place}: some rows have a split and {given[None]} do not, this one first; give all or none.")
    for needed in ("train", "test"):
        if not given[needed]:
            raise DataError(f"The source divides its rows, but gives no {needed} rows; it gives {_counts(given)}.")
    if given["validation"]:
        return list(rows)
    train = _assign([r for r in rows if r.split == "train"], config.validation, 0.0, config, seed, left_out)
    kept = {row.label for row in train}
    test_rows = [row for row in rows if row.split == "test"]
    if config.rare_labels == "drop":
        test_rows = left_out.sift(RARE, test_rows, [row.label not in kept for row in test_rows])
    return train + test_rows


def _assign(
    rows: Sequence[Row], validation: float, test: float, config: SplitConfig, seed: int, left_out: LeftOut
) -> list[Row]:
    """Divide units, a unit being a group or, without groups, a row; each has the label most of its rows have."""
    grouped = config.by_group and any(row.group is not None for row in rows)
    groups = [f"group {row.group}" if grouped and row.group is not None else f"row {i}" for i, row in enumerate(rows)]
    label_of: dict[str, Counter[str]] = {}
    for row, group in zip(rows, groups, strict=True):
        label_of.setdefault(group, Counter())[row.label] += 1
    units = {group: labels.most_common(1)[0][0] for group, labels in label_of.items()}

    parts = 3 if test else 2
    per_label = Counter(units.values())
    rare = {label for label, count in per_label.items() if count < parts}
    if rare and config.rare_labels == "error":
        names = ", ".join(f"{label!r} ({per_label[label]})" for label in sorted(rare)[:5])
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        raise DataError(
            f"Too few {'groups' if grouped else 'rows'} to divide into {parts} splits for: {names}{more}. "
            "Add rows, or set data.split.rare_labels to train_only or drop."
        )
    if config.rare_labels == "drop":
        for row, group in zip(rows, groups, strict=True):
            if units[group] in rare:
                left_out.add(RARE, row)

    side = {group: "train" for group, label in units.items() if label in rare}
    common = [group for group, label in units.items() if label not in rare]
    if not common:
        raise DataError(f"No label has {parts} {'groups' if grouped else 'rows'}, one for each split; add rows.")
    rest = common
    for split, fraction in (("test", test), ("validation", validation)):
        if fraction:
            rest, taken = _stratified(rest, units, round(fraction * len(common)), seed)
            side.update(dict.fromkeys(taken, split))
    side.update(dict.fromkeys(rest, "train"))
    return [
        Row(row.text, row.label, row.place, row.group, side[group])
        for row, group in zip(rows, groups, strict=True)
        if config.rare_labels != "drop" or units[group] not in rare
    ]


def _stratified(groups: Sequence[str], units: dict[str, str], size: int, seed: int) -> tuple[list[str], list[str]]:
    from sklearn.model_selection import train_test_split

    labels = [units[group] for group in groups]
    if size < len(set(labels)):
        raise DataError(
            f"{len(groups)} rows or groups with {len(set(labels))} labels are too few for a split of {size}: "
            "it could not hold every label. Add rows, or raise data.split.validation and data.split.test."
        )
    try:
        kept, taken = train_test_split(list(groups), test_size=size, stratify=labels, random_state=seed)
    except ValueError as error:
        raise DataError(
            f"{len(groups)} rows or groups with {len(set(labels))} labels are too few to take {size} of them: a label "
            "could be missing from the rest. Add rows, or lower data.split.validation and data.split.test."
        ) from error
    return kept, taken


def check_labels(rows: Sequence[Row]) -> None:
    """Refuse rows from which no classifier can be trained or tested.

    Raises:
        DataError: there is one label only, a validation or test label does not occur in train, or all rows of a split
            were removed.
    """
    trained = {row.label for row in rows if row.split == "train"}
    if len(trained) < 2:
        only = f"only the label {next(iter(trained))!r}" if trained else "no rows"
        raise DataError(f"The train split has {only}; a classifier needs at least two labels.")
    unseen = [row for row in rows if row.label not in trained]
    if unseen:
        raise DataError(
            f"{unseen[0].place}: the label {unseen[0].label!r} is in {unseen[0].split} but not in train "
            f"({len(unseen)} such rows). Correct the label, or add train rows for it."
        )
    for split in ("validation", "test"):
        if not any(row.split == split for row in rows):
            raise DataError(
                f"No {split} rows are left: the text of each stands in train too. "
                "Give others, or set data.overlap to count."
            )


def _counts(given: Counter[str | None]) -> str:
    return ", ".join(f"{count} {split}" for split, count in given.items() if count)
