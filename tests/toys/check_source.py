"""With the toy source registered."""

from __future__ import annotations

from pathlib import Path

import pytest

from marwright.config import load_config
from marwright.config.described import editor_schema, settings
from marwright.data.station import prepare_data
from marwright.errors import ConfigError
from marwright.files import read_json
from marwright.tasks import TASKS
from marwright.workspace import DataFolder
from tiny_models import save_tiny_checkpoint


def written(file: Path, rows: object) -> Path:
    file.write_text(f"name: goods\ndata:\n  source:\n    name: toy\n    rows: {rows}\n", encoding="utf-8")
    return file


def test_a_configuration_names_it_and_its_rows_become_splits(tmp_path: Path) -> None:
    config = load_config(written(tmp_path / "goods.yaml", 200))
    checkpoint = save_tiny_checkpoint(tmp_path / "bert")
    (tmp_path / "data").mkdir()

    prepare_data(
        config.data, TASKS[config.task], checkpoint=str(checkpoint), max_length=16, seed=7, output=tmp_path / "data"
    )

    folder = DataFolder(tmp_path / "data")
    assert read_json(folder.labels) == ["rice", "tea"]
    assert read_json(folder.card)["origin"] == "a toy"
    assert read_json(folder.card)["text"] == {"fields": [], "join": " "}


def test_its_settings_are_described_and_checked(tmp_path: Path) -> None:
    assert ("data.source.rows", "name: toy") in {(each.key, each.only_with) for each in settings()}
    assert "ToySource" in editor_schema()["$defs"]
    with pytest.raises(ConfigError, match=r"goods.yaml:5: data.source.rows: must be a whole number of at least 1"):
        load_config(written(tmp_path / "goods.yaml", 0))
    file = tmp_path / "goods.yaml"
    file.write_text("name: goods\ndata: {source: {name: toi}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"customs.*toy.*did you mean toy\?"):
        load_config(file)


def test_the_build_knows_it_again(tmp_path: Path) -> None:
    from marwright.road.stations import STATIONS

    config = load_config(written(tmp_path / "goods.yaml", 60))
    assert set(STATIONS[0].outside(config)) == {"checkpoint"}
