"""An exploration by the command line: what is fresh is reused, a kill costs little, failures do not stop the others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from command_line import marwright
from goods_build import Built
from marwright.files import read_json
from marwright.mar import layout
from marwright.workspace import Run

pytestmark = pytest.mark.slow

# The built run has the first one already; the second is compressed and exported anew; the third cannot be trained.
EXPLORE = """\
explore:
  timing_rounds: 1
  candidates:
    as-built: {}
    precise: {compression.cpu: fp32, compression.embeddings: fp32, compression.gpu: none}
    impossible: {student.layers: [0, 99]}
"""


@pytest.fixture(scope="module")
def config(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The goods with three candidates, in a copy of the run that is built."""
    config = built.copied(tmp_path_factory.mktemp("explored")).config
    with config.open("a", encoding="utf-8") as file:
        file.write(EXPLORE)
    return config


@pytest.fixture(scope="module")
def explored(config: Path) -> subprocess.CompletedProcess[str]:
    """An exploration that was killed in its second candidate and started again."""
    command = [sys.executable, "-m", "marwright", "explore", str(config), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "candidate 2 of 3" in line:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "".join(seen)
    assert "student:" not in "".join(seen), "what the run has is taken from there"
    return marwright("explore", config, "--json")


def test_the_first_candidate_is_the_run_itself_and_takes_no_space(
    explored: subprocess.CompletedProcess[str], config: Path
) -> None:
    main = Run(config.parent / "runs" / "goods")
    own = main.candidates.run("as-built")

    for file in ("exported/model.pt", "teacher/checkpoint/model.safetensors"):
        assert (own.root / file).samefile(main.root / file)
    assert "epoch" not in explored.stderr, "nothing was trained"


def test_after_the_kill_only_what_was_missing_is_made(explored: subprocess.CompletedProcess[str]) -> None:
    before, second = explored.stderr.split("candidate 2 of 3: precise")

    assert "\nexported:" not in before
    assert second.count("\nexported:") == 1


def test_a_failed_candidate_is_told_and_the_exit_code_says_so(explored: subprocess.CompletedProcess[str]) -> None:
    as_built, precise, impossible = json.loads(explored.stdout)["candidates"]

    assert explored.returncode == 1, explored.stderr
    assert "99" in impossible["failure"]
    assert "impossible FAILED" in explored.stderr
    assert as_built["failure"] is precise["failure"] is None


def test_every_figure_is_measured(explored: subprocess.CompletedProcess[str], config: Path) -> None:
    as_built, precise, _ = json.loads(explored.stdout)["candidates"]
    card = read_json(Run(config.parent / "runs" / "goods").exported.card)

    assert as_built["test"]["accuracy"] == pytest.approx(card["test"]["accuracy"], abs=0.005)
    assert as_built["test"]["calibration_error"] == pytest.approx(card["test"]["calibration_error"], abs=0.005)
    assert precise["test"]["accuracy"] == precise["fp32_test_accuracy"]
    for row in (as_built, precise):
        assert row["validation"]["interval"][0] <= -row["validation"]["drop"] <= row["validation"]["interval"][1]
        assert 0 < row["latency"]["p50_1"] <= row["latency"]["p99_1"]
        assert row["latency"]["p50_1"] < row["latency"]["p50_16"]
        assert 10e6 < row["peak_memory_bytes"] < 2e9
    assert as_built["module_bytes"] < 0.4 * precise["module_bytes"]


def test_a_second_exploration_does_nothing(explored: subprocess.CompletedProcess[str], config: Path) -> None:
    timings = Run(config.parent / "runs" / "goods").candidates.findings.timings
    before = timings.read_bytes()
    again = marwright("explore", config, "--json")

    assert "\nexported:" not in again.stderr
    assert "timing" not in again.stderr
    assert timings.read_bytes() == before
    assert json.loads(again.stdout) == json.loads(explored.stdout)


def test_an_impossible_promise_ships_nothing_and_says_by_how_much(
    explored: subprocess.CompletedProcess[str], config: Path
) -> None:
    archive = config.parent / "model_store" / "goods.mar"
    before = archive.read_bytes() if archive.exists() else None
    refused = marwright("build", config, "--set", "select.sla_ms=0.01")

    assert refused.returncode == 1
    assert "No candidate keeps the promise" in refused.stderr
    assert "where 0.01 are allowed" in refused.stderr
    assert (archive.read_bytes() if archive.exists() else None) == before
    assert marwright("explore", config, "--set", "select.sla_ms=0.01").returncode == 1


def archive_card(config: Path) -> Any:
    with zipfile.ZipFile(config.parent / "model_store" / "goods.mar") as archive:
        return json.loads(archive.read(layout.CARD))


def test_build_ships_the_candidate_that_is_picked(explored: subprocess.CompletedProcess[str], config: Path) -> None:
    smallest = ("--set", "select.objective=size", "--set", "select.max_accuracy_drop=0.5")
    built = marwright("build", config, *smallest, "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["candidate"] == "as-built"
    assert archive_card(config)["compression"]["cpu"]["scheme"].startswith("int8-")

    # Nobody else wins if the int8 module is no candidate.
    precise = (
        "explore.candidates={precise: {compression.cpu: fp32, compression.embeddings: fp32, compression.gpu: none}}"
    )
    built = marwright("build", config, *smallest, "--set", precise, "--json")
    assert built.returncode == 0, built.stderr
    assert archive_card(config)["compression"]["cpu"]["scheme"] == "float32"
    assert "student: epoch" not in built.stderr, "nothing is trained again"
    again = marwright("build", config, *smallest, "--set", precise, "--json")
    assert all(step["fresh"] for step in json.loads(again.stdout)["stations"])


def test_a_single_run_has_a_report_too(explored: subprocess.CompletedProcess[str], config: Path) -> None:
    done = marwright("report", config, "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (row,) = found["candidates"]
    assert row["name"] == "goods"
    assert not found["promise"]["configured"]
    run = Run(config.parent / "runs" / "goods")
    page = run.findings.report.read_text(encoding="utf-8")
    assert "The promise" not in page, "none is configured"
    assert "of test texts get the right label" in page
    assert "Rows that look mislabelled" in page
    assert run.suspects.is_file()
