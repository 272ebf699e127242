"""Settings: each is described, and whatever is wrong with one is said in plain words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from marwright.cli.app import app
from marwright.cli.settings import default_in_words
from marwright.config import load_config
from marwright.config.described import PATTERNS, Setting, editor_schema, settings
from marwright.errors import ConfigError, MarwrightError
from marwright.resources import shipped

EVERY = settings()
JARGON = re.compile(
    r"[Tt]uple|[Ii]nstance of|discriminator|Input should|[Vv]alid (string|integer|number|dictionary|list|boolean)"
    r"|\bunion\b|\btag\b|\bdict\b|\bNone\b|NoneType|ValidationError|pydantic|[Ll]iteral|string_|_type|\[key\]|Traceback|Extra"
)
# All sections, of which each alone is valid.
FILE: dict[str, Any] = {
    "name": "goods",
    "seed": 1,
    "runs": "runs",
    "data": {"source": {"name": "table", "path": "t.csv"}, "split": {"test": 0.2}},
    "teacher": {"epochs": 3},
    "student": {"layers": [0], "augmentation": {"copies": 2}},
    "pruning": {"kind": "magnitude", "share": 0.5},
    "compression": {"quantization_aware": {"epochs": 1}},
    "export": {"runtime": "torchscript"},
    "archive": {"gpu": {"device_ids": [0]}},
    "explore": {"candidates": {"thin": {"student.layers": [1]}}},
    "select": {"sla_ms": 5},
}


# --- described ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", EVERY, ids=lambda each: f"{each.key} {each.only_with or ''}")
def test_every_setting_is_described_in_plain_words(setting: Setting) -> None:
    assert setting.description.strip(), "give the setting a description"
    assert setting.wanted
    assert setting.wanted != "anything"
    assert not JARGON.search(setting.wanted)
    assert default_in_words(setting)
    assert default_in_words(setting) != "null"


def test_every_pattern_has_words() -> None:
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(editor_schema()))
    found = {json.loads(f'"{pattern}"') for pattern in patterns}

    assert found
    assert found <= set(PATTERNS)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["settings", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_settings_are_shown_with_default_and_bounds() -> None:
    shown = run("teacher")

    assert "teacher.epochs: 8\n    a whole number from 1 to 10000: " in shown
    assert "teacher.max_length: 64\n    a whole number from 4 to 512: tokens of a text" in shown
    assert "student" not in shown.replace("student's", "")
    assert "data.source.path: required (only with name: table)" in run()
    assert "archive.workers: nothing, if left out" in run("archive")
    assert [each["key"] for each in json.loads(run("select.sla_ms", "--json"))] == ["select.sla_ms"]


@pytest.mark.parametrize(("key", "guess"), [("epochs", "teacher.epochs"), ("teacher.epoks", "teacher.epochs")])
def test_an_unknown_setting_is_refused_with_the_nearest(key: str, guess: str) -> None:
    raised = CliRunner().invoke(app, ["settings", key]).exception

    assert isinstance(raised, MarwrightError)
    assert raised.exit_code == 2
    assert guess in str(raised)


# --- for editors -------------------------------------------------------------------------------------------------


def test_the_schema_takes_what_marwright_takes_and_refuses_a_misspelt_key() -> None:
    checked = jsonschema.Draft202012Validator(json.loads(run("--json-schema")))
    models = [file for file in shipped("configs").glob("*.yaml") if "\ndata:" in file.read_text(encoding="utf-8")]

    for text in [*(file.read_text(encoding="utf-8") for file in models), yaml.safe_dump(FILE)]:
        assert list(checked.iter_errors(yaml.safe_load(text))) == []
    one = {"name": "goods", "data": {"source": {"name": "table", "path": "t.csv", "text": "title"}}, "student": None}
    assert list(checked.iter_errors(one)) == []
    assert list(checked.iter_errors(one | {"teachr": {}}))
    assert list(checked.iter_errors(one | {"seed": "x"}))


# --- wrong -------------------------------------------------------------------------------------------------------

WRONG = st.one_of(
    st.sampled_from(
        [None, True, False, -1, 0, 10**30, 0.5, -0.5, float("inf"), float("nan"), "", "zzz", [], [1], ["a"], [[]], [{}]]
    ),
    st.sampled_from([{}, {"a": 1}, {"a": {"b": []}}, {"name": 5}, {"kind": [1]}, "x" * 300, "\x1b[31m"]),
)


def set_at(tree: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(tree))
    *parents, last = key.split(".")
    section = changed
    for parent in parents:
        section = section.setdefault(parent, {}) if isinstance(section.get(parent, {}), dict) else {}
    section[last] = value
    return changed


def complaints(file: Path, tree: dict[str, Any]) -> list[str]:
    file.write_text(yaml.dump(tree, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True), encoding="utf-8")
    try:
        load_config(file)
    except ConfigError as error:
        return str(error).splitlines()
    return []


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(setting=st.sampled_from(EVERY), value=WRONG)
def test_a_wrong_value_is_refused_by_its_key_without_jargon(tmp_path: Path, setting: Setting, value: object) -> None:
    tree = FILE
    if setting.only_with:
        # The section's other choice.
        name, _, word = setting.only_with.partition(": ")
        section = setting.key.rpartition(".")[0]
        tree = set_at(tree, section, {name: word, **({"path": "t.csv"} if word == "table" else {})})
        tree = set_at(tree, f"{section}.location", "here") if word == "abo" else tree
    found = complaints(tmp_path / "model.yaml", set_at(tree, setting.key, value))

    for line in found:
        assert line.startswith(f"{tmp_path / 'model.yaml'}:") or "Write `" in line or ": " in line
        assert not JARGON.search(line.replace(str(tmp_path), "")), line
        assert len(line) < 400
        assert line.isprintable()
    # A mistake in a section may be one of its keys; one of several sections together names one of them.
    assert not found or any(setting.key.rpartition(".")[2] in line or setting.key in line for line in found), found


@pytest.mark.parametrize(
    "setting", [one for one in EVERY if one.wanted.startswith("a whole number")], ids=lambda one: one.key
)
def test_a_number_beyond_all_use_is_refused_before_a_library_stumbles_over_it(tmp_path: Path, setting: Setting) -> None:
    assert any(setting.key in line for line in complaints(tmp_path / "model.yaml", set_at(FILE, setting.key, 10**30)))


@pytest.mark.parametrize("setting", EVERY, ids=lambda setting: setting.key)
def test_a_long_value_makes_no_long_sentence(tmp_path: Path, setting: Setting) -> None:
    for tree in (set_at(FILE, setting.key, "x" * 300), set_at(FILE, f"{setting.key}{'x' * 300}", 1)):
        for line in complaints(tmp_path / "model.yaml", tree):
            assert len(line) < 400


def test_long_names_of_splits_make_no_long_sentence(tmp_path: Path) -> None:
    (line,) = complaints(tmp_path / "model.yaml", set_at(FILE, "data.source.splits", {"x" * 300: "y" * 300}))
    assert len(line) < 400


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(setting=st.sampled_from(EVERY), letter=st.sampled_from("qxz"))
def test_a_misspelt_key_is_refused_and_named(tmp_path: Path, setting: Setting, letter: str) -> None:
    wrong = f"{setting.key}{letter}"
    found = complaints(tmp_path / "model.yaml", set_at(FILE, wrong, 1))

    if "candidates." not in wrong:
        assert any(f"{wrong}: unknown key" in line for line in found), found
    assert not any(JARGON.search(line.replace(str(tmp_path), "")) for line in found), found


@pytest.mark.parametrize("value", ["true", "false"])
def test_true_is_no_number(tmp_path: Path, value: str) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(f"name: goods\ndata:\n  source: {{name: customs}}\nteacher: {{epochs: {value}}}\n")

    with pytest.raises(ConfigError, match=rf":4: teacher\.epochs: must be a whole number from .* \(given: '{value}'\)"):
        load_config(file)


def test_a_key_of_another_section_is_pointed_to(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text("name: goods\nmax_length: 3\ndata:\n  source: {name: customs}\n")

    with pytest.raises(ConfigError, match=r":2: max_length: unknown key; there is teacher\.max_length$"):
        load_config(file)
