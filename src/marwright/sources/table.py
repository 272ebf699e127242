"""Labelled rows from a table: csv, tsv, jsonl, parquet or xlsx, a folder saved by ``datasets``, or a hub dataset.

A table is read to its end before anything wrong with its rows is reported, so that one run shows everything
there is to repair. How each kind is read stands in :mod:`marwright.sources.tables`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, time
from functools import lru_cache
from pathlib import Path

from marwright.errors import DataError
from marwright.formats.column_names import listed
from marwright.formats.delimiters import BY_SUFFIX
from marwright.resources import shipped
from marwright.sources.rows import Reading, Row
from marwright.sources.tables import json_lines, parquet, saved, separated, spreadsheet
from marwright.sources.tables.appearance import is_blank, seen
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.kinds import SUFFIXES, check_kind, refuse_idle_settings, suffix_of
from marwright.sources.tables.labels import Spellings, name_of
from marwright.sources.tables.records import Problem, Record
from marwright.sources.tables.settings import TableSource
from marwright.sources.tables.splits import SplitNames
from marwright.sources.tables.text_files import TextFile
from marwright.sources.text_fields import join_fields

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def read(source: TableSource, *, skip: bool = False) -> Reading:
    """Read a table, whose type follows from the file's suffix; ``skip`` leaves faulty rows out instead of refusing it.

    Raises:
        DataError: there is no such table or it cannot be opened. Iterating over the rows raises it too, for a
            missing column at once and for faulty rows at the end, all of them together.
    """
    try:
        path = Path(source.path).expanduser()
        there, folder = path.is_file(), path.is_dir()
    except (OSError, RuntimeError) as error:  # a name that is too long, the home of an unknown user
        raise DataError(f"{source.path}: cannot be opened: {error}.") from error
    splits = SplitNames(source.splits)
    kind = suffix_of(path)
    faults = Faults(source.path, "row" if not there or kind in (".parquet", ".xlsx") else "line", skip=skip)
    if folder:
        parts = saved.load_folder(path, source, f"name a {listed(SUFFIXES)} file.")
        records = saved.read(parts, source, splits, faults)
    elif there:
        check_kind(path, kind, faults.table)
        wanted = [*source.text, source.label, *(name for name in (source.split, source.group) if name)]
        records = file_records(path, kind, source, wanted, faults)
    elif kind in SUFFIXES or not _HUB_ID.fullmatch(source.path):
        raise DataError(f"{source.path}: no such file; relative paths start at {Path.cwd()}.{_how_to_fetch(path)}")
    else:
        records = saved.read(saved.load_from_hub(source), source, splits, faults)
    refuse_idle_settings(source, kind if there else "")
    return Reading(_rows(records, source, splits, faults), source.path, faults.left_out, faults.notes)


def _how_to_fetch(path: Path) -> str:
    """The command for a table of a configuration that comes with marwright; nothing for other tables."""
    script = shipped("scripts") / f"fetch_{path.stem}.py"
    return f" To fetch it: python {script} {path}" if script.is_file() else ""


def file_records(path: Path, kind: str, source: TableSource, wanted: Sequence[str], faults: Faults) -> Iterator[Record]:
    """The records of a file, by its kind: the suffix that its contents do not contradict."""
    if kind in BY_SUFFIX:
        return separated.read(TextFile(path, source.encoding, faults), source, wanted, faults, BY_SUFFIX[kind])
    if kind == ".jsonl":
        return json_lines.read(TextFile(path, source.encoding, faults), wanted, faults)
    if kind == ".parquet":
        return parquet.read(path, wanted, faults)
    return spreadsheet.read(path, source, wanted, faults)


def _rows(records: Iterator[Record], source: TableSource, splits: SplitNames, faults: Faults) -> Iterator[Row]:
    count = kept = 0
    spellings = Spellings()
    try:
        for record in records:
            count += 1
            row = _row(record, source, splits, faults)
            if row is not None:
                kept += 1
                spellings.add(record.values.get(source.label), row.label, record.place)
                yield row
    except OSError as error:
        raise DataError(f"{source.path}: cannot be read: {error.strerror or error}.") from error
    faults.settle(kept)
    if not count:
        raise DataError(f"{source.path}: holds no rows; check data.source.path.")
    splits.check(source.path)
    if not kept:
        reasons = ", ".join(f"{count} because {reason}" for reason, count in faults.left_out.counts.items())
        raise DataError(f"{source.path}: all its rows are left out: {reasons}.")
    spellings.check(faults)


def _row(record: Record, source: TableSource, splits: SplitNames, faults: Faults) -> Row | None:
    texts = [record.values.get(name) for name in source.text]
    text = join_fields((text if isinstance(text, str) else None for text in texts), source.join)
    value = record.values.get(source.label)
    label = name_of(value)
    group = _group(record.values.get(source.group)) if source.group is not None else ""
    problems = [*_wrong_texts(texts, text), *_wrong_label(value, label)]
    if group is None:
        problems.append(Problem("a group that is neither text nor a number nor a date", "write its name as text"))
    if record.problem:
        problems = [record.problem]

    named = (name_of(record.values.get(source.split)) or "") if source.split is not None else record.split
    split = None if named is None else splits.ours(named)
    aside = record.aside
    if label and _look_alike(label, source.label) and _is_header(record, source):
        aside = "the header again"
    if named is not None and not record.problem and not aside and split is None:
        if named and source.splits:
            aside = f"the split {named} is not named in data.source.splits"
        else:
            problems.append(_unknown_split(named, record.place))
    if named is not None and (split is not None or (named and aside)):
        splits.count(named, used=not aside)
    if aside or problems:
        # As they stand in the table, where somebody may look for them.
        shown = join_fields((None if part is None else str(part) for part in texts), source.join)
        shown_label = str(value) if label is None else label
        if aside:
            faults.leave(aside, record.place, shown, shown_label)
        else:
            faults.add(record.place, problems, shown, shown_label)
        return None
    return Row(text, label or "", faults.named(record.place), group=group or None, split=split)


def _is_header(record: Record, source: TableSource) -> bool:
    """Whether a row holds the names of its columns, as where one table was appended to another."""
    values = {name: record.values.get(name) for name in (*source.text, source.split, source.group) if name}
    return all(isinstance(value, str) and _look_alike(value, name) for name, value in values.items())


@lru_cache(maxsize=4096)  # labels come again and again
def _look_alike(one: str, other: str) -> bool:
    return seen(one).casefold() == seen(other).casefold()


def _group(value: object) -> str | None:
    """A group as text: "" for a missing one, None for what names none."""
    return value.isoformat() if isinstance(value, date | time) else name_of(value)


def _wrong_texts(texts: list[object], text: str) -> Iterator[Problem]:
    if any(not isinstance(part, str | None) for part in texts):
        yield Problem("a text that is not a string", "turn the values of the text column into strings")
    elif not text or (text[0] > "~" and is_blank(text)):  # most are decided by their first character
        yield Problem("empty text", "fill it in or delete the row")
    elif "\0" in text:
        yield Problem("a NUL character in a text", "remove it; many programs take it for the end of the text")


def _wrong_label(value: object, label: str | None) -> Iterator[Problem]:
    if isinstance(value, date | time):
        yield Problem(
            "a date as label", "make the column text; a spreadsheet may have taken a label such as 1-2 for a date"
        )
    elif label is None:
        yield Problem("a label that is neither text nor a number", "give each row one name as its label")
    elif not label or (label[0] > "~" and is_blank(label)):
        yield Problem("empty label", "fill it in or delete the row")
    elif "\0" in label:
        yield Problem("a NUL character in a label", "remove it")


def _unknown_split(name: str, place: str) -> Problem:
    cure = (
        "write train, validation (or valid, val, dev) or test, or leave data.source.split out; or say in "
        "data.source.splits what they are called, as in {validation: holdout}"
    )
    return Problem("unknown split", cure, f"{place} ({name!r})")
