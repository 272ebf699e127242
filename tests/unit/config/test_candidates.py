"""Candidates: the configuration with a few settings changed, checked before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from marwright.config import StudentConfig, load_config
from marwright.config.overriding import SHARED
from marwright.errors import ConfigError
from marwright.explore.candidates import candidates_of

BASE = """\
name: tickets
data: {source: {name: table, path: tickets.csv}}
teacher: {max_length: 48}
student: {layers: [0, 5], epochs: 3}
"""


def load(folder: Path, text: str, *overrides: str):  # type: ignore[no-untyped-def]
    file = folder / "tickets.yaml"
    file.write_text(BASE + text, encoding="utf-8")
    return load_config(file, overrides)


def test_a_candidate_is_the_configuration_with_its_settings_changed(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "explore:\n  candidates:\n"
        "    as-it-is: {}\n"
        "    bare: {student: none, compression.cpu: fp32}\n"
        "    traced: {export.method: trace, student.epochs: 5}\n"
        "    fresh: {student: {shape: tiny}}\n",
        "seed=11",
    )
    as_it_is, bare, traced, fresh = candidates_of(config)

    assert (bare.config.student, bare.config.compression.cpu) == ("none", "fp32")
    assert traced.config.export.method == "trace"
    assert traced.config.student == StudentConfig(layers=(0, 5), epochs=5)
    assert fresh.config.student == StudentConfig(shape="tiny")
    assert as_it_is.config == config.model_copy(update={"explore": None})
    for each in (as_it_is, bare, traced, fresh):
        assert (each.config.name, each.config.seed, each.config.teacher.max_length) == ("tickets", 11, 48)
        assert each.run.root == Path("runs/tickets/candidates") / each.name
    assert bare.about == "student: none, compression.cpu: fp32"


def test_without_a_list_the_usual_ones_are_explored(tmp_path: Path) -> None:
    names = [each.name for each in candidates_of(load(tmp_path, ""))]
    assert {"teacher-fp32", "teacher-static", "student-fp32", "student-static", "student-traced"} <= set(names)

    without_student = [each.name for each in candidates_of(load(tmp_path, "", "student=none"))]
    assert without_student
    assert not [name for name in without_student if name.startswith("student")]


def test_everything_that_is_wrong_with_candidates_is_told_at_once_and_where(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(
            tmp_path,
            "explore:\n  candidates:\n"
            "    misspelt: {compresion.cpu: fp32}\n"
            "    far: {teacher.max_length: 9000}\n"
            "    two: {student.shape: tiny}\n"
            "    deep: {name.first: x}\n"
            "    good: {export.method: trace}\n",
        )
    misspelt, far, two, deep = str(raised.value).splitlines()

    file = tmp_path / "tickets.yaml"
    assert misspelt.startswith(f"{file}:7: explore.candidates.misspelt: compresion")
    assert "did you mean compression?" in misspelt
    assert far.startswith(f"{file}:8: explore.candidates.far: teacher.max_length: ")
    assert "exactly one of" in two
    assert "the same for all candidates" in deep


@pytest.mark.parametrize("key", sorted(SHARED))
def test_what_all_candidates_share_cannot_be_changed_in_one(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"the same for all candidates"):
        load(tmp_path, f"explore: {{candidates: {{one: {{{key}: 1}}}}}}\n")


@pytest.mark.parametrize("text", ["{}", "{candidates: {}}", "{candidates: {../up: {}}}", "{candidate: {a: {}}}"])
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="explore"):
        load(tmp_path, f"explore: {text}\n")


def test_a_promise_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    config = load(tmp_path, "", "select.sla_ms=40", "select.objective=size")

    assert config.select is not None
    assert (config.select.sla_ms, config.select.max_accuracy_drop, config.select.objective) == (40, 0.01, "size")
    with pytest.raises(ConfigError, match=r"select\.objective"):
        load(tmp_path, "select: {objective: speed}\n")
