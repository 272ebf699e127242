"""Exploring with Ray: what a killed driver and a killed worker leave is gone on from, and all is as without Ray."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from marwright.config import load_config
from marwright.explore.explore import as_json, explore
from marwright.files import sha256_of
from marwright.workspace import Run
from tiny_models import save_tiny_checkpoint
from waiting import eventually

PATIENT = {"RAY_raylet_start_wait_time_s": "240"}
pytestmark = pytest.mark.slow
WORDS = {"tea": "the", "coffee": "of", "wool": "and"}
TINY_YAML = """\
name: tiny
runs: {folder}/runs
data: {{source: {{name: table, path: {shared}/table.csv}}}}
teacher: {{checkpoint: {shared}/checkpoint, epochs: 1, learning_rate: 2.0e-3, max_length: 24}}
student: {{layers: [0], epochs: 1, learning_rate: 2.0e-3}}
compression: {{activations: dynamic, gpu: none}}
explore:
  timing_rounds: 1
  candidates:
    as-it-is: {{}}
    traced: {{export.method: trace}}
    longer: {{student.epochs: 12, student.early_stopping_patience: 12}}
    impossible: {{student.layers: [0, 99]}}
"""


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same configuration twice, in folders of their own: for Ray, and without it."""
    pytest.importorskip("ray", reason="needs the ray extra")
    shared, chance = tmp_path_factory.mktemp("shared"), random.Random(0)
    labels = [chance.choice(list(WORDS)) for _ in range(200)]
    rows = [f"{WORDS[label]} {row},{label}" for row, label in enumerate(labels)]
    (shared / "table.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    save_tiny_checkpoint(shared / "checkpoint", num_hidden_layers=2)

    def configured(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        (folder / "tiny.yaml").write_text(TINY_YAML.format(folder=folder, shared=shared), encoding="utf-8")
        return folder / "tiny.yaml"

    return configured("cluster"), configured("alone")


def begun(config: Path) -> tuple[subprocess.Popen[str], Path]:
    """An exploration, and where it tells how far it is."""
    told = config.with_name("told")
    command = [sys.executable, "-m", "marwright", "explore", str(config), "--engine", "ray", "--workers", "2", "--json"]
    with told.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True, env=os.environ | PATIENT)
    return process, told


def tells(process: subprocess.Popen[str], told: Path, words: str) -> None:
    """Wait until an exploration has said something."""
    eventually(lambda: words in told.read_text() or process.poll() is not None, 300)
    assert words in told.read_text(), told.read_text()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Processes that make a station now."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [each for each in children if " ".join(each.cmdline()).startswith("ray::_make")]


def test_a_driver_and_a_worker_may_be_killed_and_all_is_as_without_ray(configs: tuple[Path, Path]) -> None:
    on_ray, alone = configs
    longer = Run(on_ray.parent / "runs" / "tiny").candidates.run("longer")
    process, told = begun(on_ray)
    with process:
        tells(process, told, "tiny: teacher done")
        eventually(lambda: workers_of(process))
        orphans = workers_of(process)
        process.send_signal(signal.SIGKILL)
    assert "tiny: teacher begins" in told.read_text()
    assert not psutil.wait_procs(orphans, timeout=30)[1], "they end with their driver"

    process, told = begun(on_ray)
    with process:
        tells(process, told, "longer: student begins")
        eventually(lambda: list(longer.root.glob(".student-*.partial/work/checkpoint-*")))
        killed = [each for each in workers_of(process) if str(longer.root) in str(each.open_files())]
        for worker in killed:
            worker.kill()
        answer, _ = process.communicate(timeout=300)
    said = told.read_text()
    assert process.returncode == 1, said  # the impossible one
    assert killed, said
    assert "longer: student lost its worker (WorkerCrashedError), goes on with another" in said
    assert "teacher begins" not in said, "the killed driver's teacher is taken over"
    assert not {"as-it-is", "traced"} <= set(re.findall(r"  (\S+): student begins", said)), "one takes over the other's"
    assert "impossible FAILED: student.layers: the teacher has layers 0 to 1, not [99]" in said

    torch.set_num_threads(1)
    expected = explore(load_config(alone))
    assert figures(json.loads(answer)) == figures(json.loads(json.dumps(as_json(expected))))
    assert weights(on_ray) == weights(alone)


def figures(found: dict[str, Any]) -> Any:
    """All that does not depend on the clock, or on where the run is."""
    kept = ("name", "about", "failure", "validation", "test", "module_bytes", "fp32_test_accuracy")
    return [{key: row[key] for key in kept} for row in found["candidates"]]


def weights(config: Path) -> dict[str, str]:
    root = config.parent / "runs"
    files = [*root.rglob("model.safetensors"), *root.rglob("exported/model.pt")]
    return {str(file.relative_to(root)): sha256_of(file) for file in files}
