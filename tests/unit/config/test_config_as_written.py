"""Names in a configuration are the characters that its author wrote, whatever YAML 1.1 takes them for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from marwright.config import Config, load_config
from marwright.config.as_written import Plain, parse, settle
from marwright.errors import ConfigError
from marwright.formats import bounded_yaml
from marwright.sources import TableSource

# Each is something else than text for YAML 1.1.
NAMES = ["on", "Off", "yes", "No", "true", "null", "NULL", "0", "017", "0x1F", "1_000", "12:30", "1.0", "2.", "1.10"]
NAMES += [".nan", "-.inf", "2024-01-01", "2024-13-01", "2024-01-01 10:00:00", "=", "<<", "1e5", "1.5e+3"]


def loaded(folder: Path, source: str, *overrides: str, more: str = "") -> Config:
    file = folder / "model.yaml"
    file.write_text(f"name: x\ndata:\n  source: {{name: table, path: t.csv{source}}}\n{more}", encoding="utf-8")
    return load_config(file, overrides)


def table_of(config: Config) -> TableSource:
    assert isinstance(config.data.source, TableSource)
    return config.data.source


@pytest.mark.parametrize("name", NAMES)
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    source = table_of(loaded(tmp_path, f', label: {name}, text: a, sheet: "{name}"'))
    several = table_of(loaded(tmp_path, f", group: '{name}', text: [{name}, a]"))
    single = table_of(loaded(tmp_path, f", text: {name}, splits: {{train: {name}, test: [b, c]}}"))
    given = [table_of(loaded(tmp_path, "", f"data.source.{it}")) for it in (f"label={name}", f"text=[{name}]")]

    assert (source.label, source.sheet, several.group, several.text) == (name, name, name, (name, "a"))
    assert (single.text, single.splits) == ((name,), {"train": (name,), "test": ("b", "c")})
    assert (given[0].label, given[1].text) == (name, (name,))


def test_null_is_a_name_only_where_there_has_to_be_one(tmp_path: Path) -> None:
    source = table_of(loaded(tmp_path, ", label: null, split: null, group: ~"))

    assert (source.label, source.split, source.group) == ("null", None, None)
    assert loaded(tmp_path, "", more="student: null\n").student == "none"


@pytest.mark.parametrize("nothing", ["", "~"])
def test_nothing_is_no_name(tmp_path: Path, nothing: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.source\.label: nothing is given; write text, or leave the key out"):
        loaded(tmp_path, f", label: {nothing}")


def test_other_settings_keep_their_types(tmp_path: Path) -> None:
    more = "teacher: {epochs: 3, learning_rate: 1.0e-4, max_length: 0x20}\narchive: {version: 1.10}\nseed: 1_000\n"
    config = loaded(tmp_path, ", quoting: off", more=more)

    assert (config.teacher.epochs, config.teacher.learning_rate, config.teacher.max_length) == (3, 1e-4, 32)
    assert (config.archive.version, config.seed, table_of(config).quoting) == ("1.10", 1000, False)
    assert loaded(tmp_path, "", "archive.version=2.0").archive.version == "2.0"


@pytest.mark.parametrize("setting", ["seed", "teacher.learning_rate", "archive.top_k"])
def test_yes_is_no_number(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match=r"must be a .*number.* \(given: 'yes'\)"):
        loaded(tmp_path, "", f"{setting}=yes")


def test_names_of_candidates_and_their_settings(tmp_path: Path) -> None:
    more = (
        "explore:\n  candidates:\n    1: {teacher.checkpoint: 2024, teacher.epochs: 2}\n    on: {student.layers: [0]}\n"
    )
    explore = loaded(tmp_path, "", more=more).explore

    assert explore is not None
    assert explore.candidates == {
        "1": {"teacher.checkpoint": "2024", "teacher.epochs": 2},
        "on": {"student.layers": [0]},
    }


def test_a_key_is_as_written_and_given_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.yaml:4: on: unknown key"):
        loaded(tmp_path, "", more="on: 1\n")
    with pytest.raises(ConfigError, match=r"data\.source\.label: given before"):
        loaded(tmp_path, ", label: on, label: off")


def test_anchors_and_merges_are_as_before(tmp_path: Path) -> None:
    more = "teacher: &training {epochs: 2}\nstudent: {<<: *training, layers: [0]}\n"

    assert loaded(tmp_path, "", more=more).student.epochs == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("value", ["!!bool maybe", "!!timestamp abc", "!!int ''", "!!float x", "!!int x", "!!bool {}"])
@pytest.mark.parametrize("place", ["seed: {}\n", "data.source: {}", "teacher: {{epochs: {}}}\n"])
def test_a_tag_that_its_value_belies_is_a_sentence(tmp_path: Path, value: str, place: str) -> None:
    with pytest.raises(ConfigError):
        loaded(tmp_path, "", more=place.format(value))
    with pytest.raises(yaml.YAMLError):
        bounded_yaml.parsed(f"a: {value}")


PLAIN = st.text(st.sampled_from("0123456789.-+:_eExXonyfaulstrNYO~=<"), min_size=1, max_size=6)


@given(PLAIN)
def test_the_characters_are_those_of_yaml_without_types(text: str) -> None:
    try:
        written = yaml.load(f"label: {text}", Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return
    if not isinstance(written, dict) or not isinstance(written.get("label"), str):
        return
    tree = parse(f"label: {text}")
    value = tree["label"]

    assert (value.text if isinstance(value, Plain) else value) == written["label"]
    settled = settle({"data": {"source": tree}})["data"]["source"]["label"]
    assert settled == written["label"] or (settled is None and text == "~")
