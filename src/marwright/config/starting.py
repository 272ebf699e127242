"""Writes a first configuration for a table, with comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from marwright.config.schema import Config

LENGTHS = (16, 32, 64, 128, 256, 512)
ROWS_FOR_ALL_SPLITS = 3
"""A label needs one for train, validation and test each."""


@dataclass(frozen=True)
class Start:
    """What is known of a model before its first build."""

    name: str
    table: str
    text: Sequence[str]
    label: str
    split: str | None
    group: str | None
    rows: int
    labels: Mapping[str, int]
    """How many rows each has."""
    tokens: int
    """About as many as 99 of 100 texts have at most."""
    encoding: str | None = None


def commented_yaml(start: Start, file: str) -> str:
    """A configuration that ``marwright build`` takes as it is; ``file`` is what it will be called."""
    length = next((each for each in LENGTHS if start.tokens <= each), LENGTHS[-1])
    fewest, fewest_rows = min(start.labels.items(), key=lambda each: (each[1], each[0]))
    rare = sum(rows < ROWS_FOR_ALL_SPLITS for rows in start.labels.values())
    split = "    # split: COLUMN  # a column with train, validation, test; without it the rows are divided here"
    if start.split is not None:
        split = f"    split: {in_yaml(start.split)}"
    group = in_yaml(start.group or "COLUMN")
    text = start.text[0] if len(start.text) == 1 else list(start.text)
    lines = [
        f"# {start.rows:,} rows with {len(start.labels)} labels, the rarest {_comment(fewest)} with {fewest_rows}.",
        f"# Build: marwright build {_comment(file)} · every setting: marwright settings",
        f"name: {in_yaml(start.name)}  # gives {start.name}.mar and /predictions/{start.name}",
        "data:",
        "  source:",
        "    name: table",
        f"    path: {in_yaml(start.table)}  # relative to the folder the command runs in",
        *([f"    encoding: {in_yaml(start.encoding)}"] if start.encoding else []),
        f"    text: {in_yaml(text)}  # one column, or several as [subject, body]",
        f"    label: {in_yaml(start.label)}",
        split,
        f"    # group: {group}  # rows with one value in this column stay on one side of the split",
        *(_rare(rare) if rare and start.split is None else []),
        "teacher:",
        "  # English; for other languages a folder or a hub id such as google-bert/bert-base-multilingual-cased",
        f"  checkpoint: {Config.model_fields['teacher'].default.checkpoint}",
        f"  max_length: {length}  # tokens of a text that are read; 99 of 100 texts have about {start.tokens} at most",
        "student:",
        "  layers: [0, 2, 5]  # of the teacher's; fewer are faster. `student: none` ships the teacher itself",
        "# select:",
        "#   sla_ms: 40  # a promise to keep; see `marwright settings select` and `marwright explore --help`",
    ]
    return "\n".join(lines) + "\n"


def _rare(labels: int) -> list[str]:
    return [
        "  split:",
        f"    rare_labels: train_only  # {labels} with fewer than {ROWS_FOR_ALL_SPLITS} rows are never tested; or drop",
    ]


def in_yaml(value: Any) -> str:
    """A value on one line of YAML, in quotation marks where it would be read as something else."""
    shown: str = yaml.safe_dump(value, default_flow_style=True, width=100_000, allow_unicode=False)
    return shown.removesuffix("\n").removesuffix("\n...")


def _comment(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:100]
