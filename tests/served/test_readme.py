"""Every command of the README runs as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from command_line import PROJECT, marwright, marwright_process
from goods_build import Built
from marwright.cli.app import app
from marwright.config import load_config
from marwright.server.server import RunningServer

README = (PROJECT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)


def _commands() -> list[str]:
    """The lines of all shell blocks, continuation lines joined, comments taken off."""
    text = "\n".join(body for language, body in BLOCKS if language == "bash").replace("\\\n", " ")
    lines = [shlex.join(shlex.split(line, comments=True)) for line in text.splitlines()]
    return [line for line in lines if line]


def test_every_make_target_of_the_readme_exists() -> None:
    targets = {command.split()[1] for command in _commands() if command.startswith("make ")}
    assert {"mar", "serve", "stop", "test"} <= targets
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_ci_runs_what_the_readme_says() -> None:
    script = (PROJECT / ".ci" / "run").read_text()
    assert "make test" in script
    assert "make test" in _commands()


def test_every_verb_of_the_readme_exists_and_every_verb_has_an_example() -> None:
    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    used = {command.split()[1] for command in _commands() if command.startswith("marwright ")}
    assert used <= verbs
    for verb in sorted(verbs):
        assert "Example: marwright" in marwright(verb, "--help").stdout, verb


def test_a_verb_is_explained_in_a_process_of_its_own() -> None:
    assert "Example: marwright" in marwright_process("predict", "--help").stdout


def test_every_yaml_block_of_the_readme_is_a_configuration(tmp_path: Path) -> None:
    blocks = [body for language, body in BLOCKS if language == "yaml"]
    assert blocks
    for body in blocks:
        file = tmp_path / "config.yaml"
        file.write_text(body, encoding="utf-8")
        load_config(file)


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert not [link for link in links if not (PROJECT / link).exists()]


@pytest.fixture
def as_in_the_readme(built: Built, server: RunningServer, tmp_path: Path) -> Path:
    """A folder with an archive and a run under the names that the README uses."""
    store = tmp_path / "model_store"
    store.mkdir()
    shutil.copy(built.archive, store / "pt_classifier.mar")
    shutil.copy(built.config, tmp_path / "my_config.yaml")
    return tmp_path


@pytest.mark.slow
def test_the_verbs_of_the_readme_that_read_an_archive_run(as_in_the_readme: Path, built: Built) -> None:
    ran = 0
    for command in _commands():
        if command.startswith(("marwright predict", "marwright inspect", "marwright evaluate", "marwright verify")):
            own = shlex.split(re.sub(r"(configs/)?\w+\.yaml", str(built.config), command))
            done = marwright(*own[1:], cwd=as_in_the_readme)
            assert done.returncode == 0, (command, done.stderr)
            ran += 1
    assert ran >= 4


@pytest.mark.slow
def test_the_curl_of_the_readme_is_answered(server: RunningServer) -> None:
    (command,) = [command for command in _commands() if command.startswith("curl")]
    own = command.replace("http://localhost:8080", server.inference).replace("pt_classifier", "goods")
    done = subprocess.run(shlex.split(own), text=True, capture_output=True, check=True)
    assert len(json.loads(done.stdout)) == 5
