"""Which stations a configuration has, and that those it has not change nothing for the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from marwright.config import Config, ExportConfig, StructuredPruning
from marwright.config.overriding import variant
from marwright.errors import ConfigError
from marwright.road.freshness import fingerprint
from marwright.road.pipeline import build
from marwright.road.stations import STATIONS, model_to_compress, trained_models
from marwright.workspace import Run

STRUCTURED = {"pruning": {"kind": "structured"}}
MAGNITUDE = {"pruning": {"kind": "magnitude", "share": 0.3}}
TUNED = {"compression": {"quantization_aware": {"epochs": 2}}}


def configured(**sections: Any) -> Config:
    return Config.model_validate({"name": "goods", "data": {"source": {"name": "customs"}}, **sections})


@pytest.mark.parametrize(
    ("sections", "models"),
    [
        ({}, ("teacher", "student")),
        ({"student": "none"}, ("teacher", "student")),
        (STRUCTURED, ("teacher", "student", "pruned")),
        (MAGNITUDE | {"student": "none"}, ("teacher", "student", "pruned")),
        (TUNED, ("teacher", "student", "tuned")),
        (STRUCTURED | TUNED, ("teacher", "student", "pruned", "tuned")),
    ],
    ids=str,
)
def test_the_last_trained_model_is_the_one_that_is_compressed(sections: Any, models: tuple[str, ...]) -> None:
    config, run = configured(**sections), Run(Path("runs/goods"))
    needs = {station.name: station.needs(config) for station in STATIONS if station.when(config)}

    assert trained_models(config) == models
    assert model_to_compress(config, run).root == run.folder(models[-1])
    assert needs["compressed"] == ("data", models[-1])
    assert needs["exported"] == ("data", models[-1], "compressed")
    assert needs["archive"] == ("data", *models, "compressed", "exported")
    if "tuned" in models:
        assert models[-2] in needs["tuned"]
    # What a station needs was made before it.
    names = list(needs)
    assert all(names.index(other) < names.index(name) for name in names for other in needs[name])


def test_a_road_without_the_sections_is_the_one_that_older_runs_were_made_on() -> None:
    config = configured(compression={"gpu": "none"})
    station = next(station for station in STATIONS if station.name == "compressed")
    inputs = dict.fromkeys(station.needs(config), "abc")
    as_it_was = {"cpu": "int8", "activations": "auto", "gpu": "none", "embeddings": "int8"}

    assert fingerprint(3, station.settings(config), inputs) == fingerprint(
        3, {"compression": as_it_was, "method": ExportConfig().method}, {"data": "abc", "student": "abc"}
    )


def test_another_limit_compresses_anew_and_another_training_does_not() -> None:
    station = next(station for station in STATIONS if station.name == "compressed")

    assert station.settings(configured(compression={"max_drop": 0.01})) != station.settings(configured())
    assert station.settings(configured(**TUNED)) == station.settings(configured())


def test_a_station_that_the_configuration_has_not_cannot_be_the_last(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--until pruned: no such station in this configuration; there are data, "):
        build(configured(runs=str(tmp_path)), until="pruned")
    assert not list(tmp_path.iterdir())


def test_a_candidate_may_have_a_station_that_its_configuration_has_not() -> None:
    candidate = variant(configured(), {"pruning.kind": "structured", "compression.quantization_aware.epochs": 1})

    assert candidate.pruning == StructuredPruning(kind="structured")
    assert trained_models(candidate) == ("teacher", "student", "pruned", "tuned")
