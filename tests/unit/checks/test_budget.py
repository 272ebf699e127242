"""Bombs: whatever is looked at, it is judged or refused in a sentence within ten seconds and 300 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import bombs
from command_line import marwright
from foreign_archives import minimal

SECONDS, MEGABYTES = 10.0, 300
# What each verb does, one after another in a process of its own that imports no torch; VmHWM is its highest memory.
DRIVER = """
import json, sys, time
from pathlib import Path
from marwright.mar.reading import describe
from marwright.config import load_config
from marwright.errors import MarwrightError
from marwright.checks.lint import lint
from marwright.checks.verify import verify

verbs = {
    "verify": lambda file: "" if (report := verify(file, run=False)).holds else str(report.as_json()["checks"]),
    "inspect": lambda file: str(describe(file))[:0],
    "lint": lambda file: str(lint(file))[:0],
    "build": lambda file: str(load_config(file))[:0],
}
answers = []
for verb, file in json.load(sys.stdin):
    begun = time.process_time()
    try:
        said = verbs[verb](Path(file))
    except MarwrightError as error:
        said = str(error)
    answers.append((verb, Path(file).parent.name, round(time.process_time() - begun, 2), said[:500]))
(peak,) = [int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")]
assert "torch" not in sys.modules
json.dump({"answers": answers, "megabytes": peak}, sys.stdout)
"""


def answers_to(asked: Sequence[tuple[str, Path]]) -> dict[tuple[str, str], str]:
    """What verbs said of files, by verb and folder; each within its time, and all within the memory."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps([(verb, str(file)) for verb, file in asked]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    slow = {f"{verb} {name}": seconds for verb, name, seconds, _ in found["answers"] if seconds > SECONDS}
    assert not slow
    assert found["megabytes"] < MEGABYTES
    return {(verb, name): said for verb, name, _, said in found["answers"]}


def placed(folder: Path, number: int, name: str, data: bytes) -> Path:
    file = folder / f"{number}" / name
    file.parent.mkdir()
    file.write_bytes(data)
    return file


def packed(folder: Path, number: int, name: str, data: bytes, config: str | None = None) -> Path:
    (folder / f"{number}").mkdir()
    return minimal(folder / f"{number}" / "a.mar", {name: data}, config=config)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_a_bomb_in_an_archive_is_refused(tmp_path: Path, part: int) -> None:
    names = list(bombs.FILES)[part::3]
    files = [packed(tmp_path, number, *bombs.FILES[name]()) for number, name in enumerate(names)]
    assert all(file.stat().st_size < 30 << 20 for file in files)
    said = answers_to([("verify", file) for file in files])

    assert not [name for number, name in enumerate(names) if not said["verify", str(number)]]


@pytest.mark.slow
def test_yaml_that_stands_for_more_is_refused_or_judged(tmp_path: Path) -> None:
    for folder in ("lint", "archive"):
        (tmp_path / folder).mkdir()
    files = [
        placed(tmp_path / "lint", number, "model-config.yaml", text.encode())
        for number, text in enumerate(bombs.YAML.values())
    ]
    archives = [
        packed(tmp_path / "archive", number, "a.yaml", text.encode(), config="a.yaml")
        for number, text in enumerate(bombs.YAML.values())
    ]
    said = answers_to(
        [(verb, file) for file in files for verb in ("lint", "build")]
        + [(verb, file) for file in archives for verb in ("verify", "inspect")]
    )

    for number, name in enumerate(bombs.YAML):
        assert said["build", str(number)], name
        assert said["verify", str(number)], name


def test_properties_that_take_long_are_refused_or_judged(tmp_path: Path) -> None:
    texts = bombs.PROPERTIES.values()
    files = [placed(tmp_path, number, "a.properties", text.encode()) for number, text in enumerate(texts)]

    assert len(answers_to([("lint", file) for file in files])) == len(files)


@pytest.mark.slow
def test_descriptions_that_take_much_memory_are_refused(tmp_path: Path) -> None:
    files = [packed(tmp_path, number, name, data) for number, (name, data) in enumerate(bombs.DESCRIPTIONS.items())]
    crowded = placed(tmp_path, len(files), "a.mar", bombs.many_members(300_000))
    verbs = ("verify", "lint", "inspect")
    said = answers_to([(verb, file) for file in (*files, crowded) for verb in verbs])

    assert all("10,000 files" in said[verb, crowded.parent.name] for verb in verbs)
    assert "larger than 4 MB" in said["inspect", "0"]


def test_the_verb_says_what_it_did_not_look_at(tmp_path: Path) -> None:
    name, data = bombs.FILES["tuples in tuples"]()
    done = marwright("verify", minimal(tmp_path / "a.mar", {name: data}))

    assert done.returncode == 1
    assert "model.pt could not be read to its end" in done.stdout
    assert "nothing of it is run" in done.stdout
