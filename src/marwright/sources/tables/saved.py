"""What ``datasets`` saved in a folder, or fetches from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from marwright.errors import DataError, first_line
from marwright.formats.column_names import listed
from marwright.sources.tables import columns
from marwright.sources.tables.batches import BATCH, records, types_of
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.records import Record
from marwright.sources.tables.settings import TableSource
from marwright.sources.tables.splits import SplitNames

# The parts of a dataset by their names; one that is not divided has no name.
Parts = Mapping[str | None, Any]

_DESCRIPTIONS = ("dataset_info.json", "dataset_dict.json")


def load_folder(path: Path, source: TableSource, cure: str) -> Parts:
    """Open a folder that ``save_to_disk`` wrote.

    Raises:
        DataError: it is another folder, or damaged.
    """
    import datasets

    try:
        return _by_split(datasets.load_from_disk(str(path)), source)
    except Exception as error:  # whatever a foreign or damaged folder makes the library raise
        if any((path / name).is_file() for name in _DESCRIPTIONS):
            raise DataError(
                f"{path}: datasets saved this folder, but cannot read it here: {first_line(error)}. Repair it, or save "
                "it again with the version that is installed here."
            ) from error
        raise DataError(f"{path}: not a folder saved by datasets (save_to_disk); {cure}") from error


def load_from_hub(source: TableSource) -> Parts:
    """Fetch a dataset.

    Raises:
        DataError: the hub does not have it or cannot be reached.
    """
    import datasets

    try:
        return _by_split(datasets.load_dataset(source.path, source.subset), source)
    except Exception as error:  # the library runs many others, each with errors of its own
        raise DataError(
            f"{source.path}: no such file or folder here, and the Hugging Face hub could not give it: "
            f"{first_line(error)}."
        ) from error


def read(parts: Parts, source: TableSource, splits: SplitNames, faults: Faults) -> Iterator[Record]:
    """The rows of all parts. A part without any label, and one that is not among those named, is set aside.

    Raises:
        DataError: a part lacks a column, or has a name that means no split although nobody said which are used.
    """
    wanted = list(dict.fromkeys([*source.text, source.label, *(it for it in (source.split, source.group) if it)]))
    aside = {name: _why_aside(name, part, source, splits) for name, part in parts.items() if name is not None}
    unknown = [name for name in aside if splits.ours(name) is None and not aside[name]]
    if unknown and source.split is None:
        there = ", ".join(f"{name} ({len(part):,} rows)" for name, part in parts.items())
        used = [name for name in aside if not aside[name]]
        raise DataError(
            f"{faults.table}: unknown split {listed(unknown)}; its splits are {there}. {splits.advice(used)}"
        )
    told: dict[str, None] = {}
    for name, part in parts.items():
        positions = columns.require(wanted, part.column_names, faults.table)
        column_of = {wish: part.column_names[at] for wish, at in positions.items()}
        # A saved dataset may remember a tensor format.
        chosen = part.with_format(None).select_columns(list(dict.fromkeys(column_of.values())))
        why_aside = aside.get(name, "") if name is not None else ""
        types = types_of(part.features)
        told |= dict.fromkeys(types.told(column_of.values()))
        yield from records(chosen.iter(batch_size=BATCH), column_of, types, name, why_aside)
    for sentence in told:
        faults.note(sentence)


def _by_split(loaded: Any, source: TableSource) -> Parts:
    if not isinstance(loaded, dict):
        return {None: loaded}
    # The hub calls the only part of an undivided dataset "train": that is no division, unless someone says so.
    undivided = len(loaded) == 1 and not source.splits
    return {None: next(iter(loaded.values()))} if undivided else dict(loaded)


def _why_aside(name: str, part: Any, source: TableSource, splits: SplitNames) -> str:
    if source.split is not None:
        return ""
    said = any(name.lower() == it.lower() for names in source.splits.values() for it in names)
    labels = part.with_format(None)[source.label] if source.label in part.column_names else [""]
    if not said and len(part) and all(value is None or (value == -1 and value is not True) for value in labels):
        return f"the split {name} has no labels"
    return f"the split {name} is not named in data.source.splits" if source.splits and not splits.ours(name) else ""
