"""The data station, run with a small tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict, load_from_disk

from marwright.config import DataConfig
from marwright.data.station import prepare_data
from marwright.files import read_json
from marwright.tasks import SINGLE_LABEL, TASKS
from marwright.workspace import DataFolder
from tiny_models import tiny_tokenizer


@dataclass(frozen=True)
class Prepared:
    folder: DataFolder
    splits: DatasetDict
    labels: list[str]
    card: dict[str, Any]


def prepare(source: dict[str, Any], tmp_path: Path, max_length: int = 32, **settings: Any) -> Prepared:
    """Run the station with a small tokenizer, one token for every word."""
    checkpoint, output = tmp_path / "checkpoint", tmp_path / "data"
    checkpoint.mkdir(parents=True)
    output.mkdir()
    tiny_tokenizer().save(str(checkpoint / "tokenizer.json"))
    config = DataConfig.model_validate({"source": source, **settings})
    prepare_data(config, TASKS[SINGLE_LABEL], checkpoint=str(checkpoint), max_length=max_length, seed=7, output=output)
    folder = DataFolder(output)
    splits = load_from_disk(str(folder.splits))
    return Prepared(folder, splits, read_json(folder.labels), read_json(folder.card))
