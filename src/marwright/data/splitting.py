"""Divides rows into train, validation and test, so that more rows move no old one; groups stay whole.

The part follows from a hash of the seed and the row's group, or its text where it has none. Nothing else is asked: not
how many rows there are, nor which. What this cannot give, a train row for every label and a row for every part, is
given by exceptions, which :class:`Division` names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from marwright.config import SplitConfig
from marwright.data.labels import labels_of
from marwright.errors import DataError
from marwright.pretrained.identity import folded
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Row
from marwright.tasks import Task

RARE = "the label has too few rows in train or to divide"
_SHOWN = 5


@dataclass(frozen=True)
class Division:
    """Rows with their splits, and where these do not follow from the hash.

    ``train_only`` are labels with too few groups or rows to divide, all of which stay in train. Of each label in
    ``one_kept_in_train`` one group or row was put there, since all were elsewhere. ``filled`` are the splits that
    would be empty, and have one group or row instead.
    """

    rows: list[Row]
    train_only: tuple[str, ...] = ()
    one_kept_in_train: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()

    def exceptions(self) -> dict[str, list[str]]:
        """Those of them that there are, for the card."""
        named = {
            "train_only": self.train_only,
            "one_kept_in_train": self.one_kept_in_train,
            "filled": self.filled,
        }
        return {name: list(values) for name, values in named.items() if values}


def divide(rows: Sequence[Row], task: Task, config: SplitConfig, seed: int, left_out: LeftOut) -> Division:
    """Give every row without a split one.

    Rows that their source has divided stay where they are; if it gave no validation rows, they are taken from train.

    Raises:
        DataError: only some rows have a split, there is no train or no test, or a label has too few rows to divide.
    """
    given = Counter(row.split for row in rows)
    if set(given) == {None}:
        return _assign(rows, task, {"test": config.test, "validation": config.validation}, config, seed, left_out)
    if None in given:
        place = next(row.place for row in rows if row.split is None)
        raise DataError(f"{place}: some rows have a split and {given[None]} do not, this one first; give all or none.")
    for needed in ("train", "test"):
        if not given[needed]:
            raise DataError(f"The source divides its rows, but gives no {needed} rows; it gives {_counts(given)}.")
    if given["validation"]:
        return Division(list(rows))
    before = [row for row in rows if row.split == "train"]
    train = _assign(before, task, {"validation": config.validation}, config, seed, left_out)
    dropped = labels_of(before, task) - labels_of(train.rows, task)
    test = [row for row in rows if row.split == "test"]
    test = left_out.sift(RARE, test, [not dropped.isdisjoint(task.labels_in(row.label)) for row in test])
    return replace(train, rows=train.rows + test)


def torn_groups(rows: Sequence[Row]) -> str:
    """How many groups the source itself has put into several splits, with two places; empty where none is."""
    first: dict[str, Row] = {}
    torn: dict[str, tuple[Row, Row]] = {}
    for row in rows:
        if row.group is not None and row.split != first.setdefault(row.group, row).split:
            torn.setdefault(row.group, (first[row.group], row))
    if not torn:
        return ""
    group, (one, other) = next(iter(torn.items()))
    return (
        f"{len(torn)} of {len(first)} groups have rows in several of the given splits, so test figures may flatter "
        f"(first {group}: {one.place} in {one.split}, {other.place} in {other.split})"
    )


def _assign(
    rows: Sequence[Row], task: Task, shares: Mapping[str, float], config: SplitConfig, seed: int, left_out: LeftOut
) -> Division:
    """Divide units: groups, and the texts of rows without one; each has the label that most of its rows have.

    A row without labels is one of a label of its own. ``shares`` are those of each part but train, as fractions.
    """
    grouped = config.by_group and any(row.group is not None for row in rows)
    unit_of = [f"group {r.group}" if grouped and r.group is not None else f"text {folded(r.text)}" for r in rows]
    votes: Mapping[str, Counter[str]] = defaultdict(Counter)
    for row, unit in zip(rows, unit_of, strict=True):
        votes[unit].update(task.labels_in(row.label) or (row.label,))
    # Of equally frequent labels the first by name, whatever the order of rows.
    label_of = {unit: min(labels, key=lambda label: (-labels[label], label)) for unit, labels in votes.items()}
    per_label = Counter(label_of.values())
    rare = {label for label, count in per_label.items() if count <= len(shares)}
    refused = config.rare_labels == "error"
    if rare and (refused or len(rare) == len(per_label)):
        first = next(row for row, unit in zip(rows, unit_of, strict=True) if label_of[unit] == min(rare))
        raise _too_rare(rare, per_label, first, len(rows), len(shares) + 1, grouped=grouped, named=refused)
    if config.rare_labels == "drop":
        votes = {unit: labels for unit, labels in votes.items() if label_of[unit] not in rare}
        gone = [label_of[unit] in rare for unit in unit_of]
        unit_of = [unit for unit, goes in zip(unit_of, gone, strict=True) if not goes]
        rows = left_out.sift(RARE, rows, gone)

    at = {unit: _position(seed, unit) for unit, label in label_of.items() if label not in rare}
    side = {unit: _part(position, shares) for unit, position in at.items()}
    # Train is where positions are highest: the highest of a label is there, or else is nearest to it.
    highest: dict[str, str] = {}
    for unit in sorted(at, key=at.__getitem__):
        highest[label_of[unit]] = unit
    kept = tuple(label for label, unit in highest.items() if side[unit] != "train")
    side.update(dict.fromkeys(highest.values(), "train"))
    needed = set(highest.values())
    for label, units in _in_minority(votes, label_of).items():
        # One of a label that stays in train alone will do.
        if all(unit in at for unit in units):
            unit = max(units, key=lambda each: (each in needed, at[each]))
            kept += (label,) if all(side[each] != "train" for each in units) else ()
            needed.add(unit)
            side[unit] = "train"
    kept = tuple(sorted(kept))
    free = sorted(at.keys() - needed, key=at.__getitem__)
    if len(free) < len(shares):
        raise DataError(
            f"There are too few {'groups' if grouped else 'rows'} for {len(shares) + 1} splits: train needs "
            f"{len(needed)} of {len(at)} to have every label. Add rows, or set data.split.by_group: false if their "
            "groups may be torn apart."
        )
    filled = tuple(part for part in shares if part not in side.values())
    for part in filled:
        side[next((unit for unit in free if side[unit] == "train"), free[0])] = part
    return Division(
        [replace(row, split=side.get(unit, "train")) for row, unit in zip(rows, unit_of, strict=True)],
        tuple(sorted(rare)) if config.rare_labels == "train_only" else (),
        kept,
        filled,
    )


def _too_rare(
    rare: set[str], per_label: Counter[str], first: Row, rows: int, parts: int, *, grouped: bool, named: bool
) -> DataError:
    """The refusal of rare labels, of which the row ``first`` has the first by name.

    ``rows`` should be divided into so many ``parts``; ``per_label`` counts the groups, or else the rows, of each label.
    Unless the labels are to be ``named``, it is said alone that none can be divided.
    """
    what = "groups" if grouped else "rows"
    cure = "Add rows, or set data.split.rare_labels to train_only or drop."
    if len(rare) == len(per_label):
        cure = f"No label has {parts} {what}, one for each split"
        if grouped and rows > len(per_label):
            cure += (
                ", since groups stay whole: add groups, or set data.split.by_group: false if their rows may be torn "
                "apart."
            )
        elif len(per_label) > parts and max(per_label.values()) == 1:
            cure += "; each has a label of its own: name the column of the classes in data.source.label."
        else:
            cure += "; add rows."
    if not named:
        return DataError(cure)
    names = ", ".join(f"{label!r} ({per_label[label]})" for label in sorted(rare)[:_SHOWN])
    more = f" and {len(rare) - _SHOWN} more" if len(rare) > _SHOWN else ""
    return DataError(
        f"Too few {what} to divide into {parts} splits for: {names}{more}. The first stands in {first.place}. {cure}"
    )


def _in_minority(votes: Mapping[str, Counter[str]], label_of: Mapping[str, str]) -> dict[str, list[str]]:
    """The units of each label that most rows of no unit have; of those that are divided or stay in train."""
    leading = {label_of[unit] for unit in votes}
    found: dict[str, list[str]] = {}
    for unit, labels in votes.items():
        for label in labels.keys() - leading:
            found.setdefault(label, []).append(unit)
    return dict(sorted(found.items()))


def _position(seed: int, unit: str) -> float:
    """Where a unit lies between 0 and 1: evenly over units and seeds, and always the same."""
    digest = blake2b(f"{seed} {unit}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


def _part(position: float, shares: Mapping[str, float]) -> str:
    edge = 0.0
    for part, share in shares.items():
        edge += share
        if position < edge:
            return part
    return "train"


def _counts(given: Counter[str | None]) -> str:
    return ", ".join(f"{count} {split}" for split, count in given.items() if count)
