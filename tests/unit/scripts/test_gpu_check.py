"""scripts/gpu_check.py, as far as a CPU can take it, and its arithmetic."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import gpu_check
from gpu.cards import CARDS, card_named, t4_estimate
from gpu.operations import operations
from gpu.parts import Part, machine
from gpu.rates import rate_between
from gpu.report import markdown
from gpu.rivals import onnx
from gpu.subject import LeftOutError
from gpu.timing import timed
from marwright.encoder.shape import EncoderShape, LayerShape

CONFIG = "name: run\nruns: {folder}\ndata:\n  source: {{name: table, path: goods.csv}}\n"


def checked(archive: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    """The report of a rehearsal, once it has ended well."""
    config = folder / "goods.yaml"
    config.write_text(CONFIG.format(folder=archive.parent), encoding="utf-8")
    output = folder / "found"
    call = [str(archive), "--config", str(config), "--device", "cpu", "--calls", "3", "--output", str(output)]
    gpu_check.main([*call, *arguments])
    found: dict[str, Any] = json.loads((output / "report.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_a_rehearsal_on_a_cpu_measures_and_reports_what_it_can(
    tiny_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = checked(tiny_archive, tmp_path, "--parts", "correctness,graphs,tests,eager")["parts"]

    correct = found["correctness"]["found"]
    assert correct["texts"] == 60
    # fp16 of the GPU's module, computed here, against float32 as it was recorded.
    assert correct["with_fp32"]["same_label"] == 1
    assert 0 < correct["with_fp32"]["largest_difference"] < 0.05
    assert correct["with_cpu"]["same_label"] > 0.9
    for batch, texts in (("1 × 16", 1), ("32 mixed", 32)):
        ways = found["eager"]["found"][batch]["ways"]
        assert set(ways) == {"marwright", "Hugging Face, eager"}
        each = ways["marwright"]
        assert 0 < each["p50_ms"] <= each["p99_ms"]
        assert each["texts_per_second"] == pytest.approx(1000 * texts / each["p50_ms"], rel=0.9)
    # What cannot be had on a CPU says why, and the rest goes on.
    assert {name: each["state"] for name, each in found.items()} == {
        "correctness": "done",
        "graphs": "left out",
        "tests": "left out",
        "eager": "done",
    }
    assert "on a GPU only" in found["graphs"]["why"]
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "found" / "report.md").read_text(encoding="utf-8")
    assert "A rehearsal without a GPU." in shown
    assert "| graphs | left out |" in shown
    assert "| 1 × 16: Hugging Face, eager | 3 |" in shown


@pytest.mark.slow
def test_a_part_that_breaks_or_takes_too_long_is_reported_and_the_next_one_runs(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"broken": "import os; os.abort()", "slow": "import time; time.sleep(600)"}
    monkeypatch.setattr(gpu_check, "GRACE_S", 0.5)
    monkeypatch.setattr(gpu_check, "PARTS", dict.fromkeys(("broken", "slow"), Part("", machine, 0.1)))
    monkeypatch.setattr(gpu_check, "_command", lambda name, *_: [sys.executable, "-c", parts[name]])
    output = tmp_path / "found"
    with pytest.raises(SystemExit) as ended:
        gpu_check.main([str(tiny_archive), "--device", "cpu", "--parts", "broken,slow", "--output", str(output)])

    assert ended.value.code == 1
    found = json.loads((output / "report.json").read_text(encoding="utf-8"))["parts"]
    assert found["broken"]["state"] == "failed"
    assert "its process ended with -6" in found["broken"]["why"]
    assert found["slow"]["state"] == "out of time"
    assert found["slow"]["seconds"] < 30


def test_a_part_without_what_it_needs_says_so(tiny_archive: Path, tmp_path: Path) -> None:
    call = [str(tiny_archive), "--device", "cpu", "--output", str(tmp_path), "--seconds-left", "60"]
    gpu_check.main([*call, "--part", "eager"])

    found = json.loads((tmp_path / "eager.json").read_text(encoding="utf-8"))
    assert found["state"] == "left out"
    assert "give --config" in found["why"]


def test_a_rival_without_its_provider_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(LeftOutError, match="has no CUDAExecutionProvider: pip uninstall onnxruntime"):
        onnx(tmp_path, None, ["tea"], torch.device("cuda", 0), 16)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_writes_nothing(
    tiny_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu_check.main([str(tiny_archive), "--output", str(tmp_path / "found")])

    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such GPU" in line
    assert not list(tmp_path.iterdir())


def test_an_unknown_part_is_refused_with_those_there_are(
    tiny_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu_check.main([str(tiny_archive), "--device", "cpu", "--parts", "speed", "--output", str(tmp_path / "found")])

    assert ended.value.code == 2
    assert "no part speed; there are machine, correctness" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_all_parts_together_take_ten_minutes() -> None:
    assert gpu_check.MINUTES == 10


def test_calls_are_timed_for_no_longer_than_they_may() -> None:
    found = timed({"slow": lambda texts: [b"{}" for _ in texts]}, [["a", "b"]], 10**9, "timing", within_s=0.2)

    assert 3 <= found["slow"]["calls"] < 10**9


def test_a_report_names_what_was_found_and_what_was_not() -> None:
    first = {"offered_rate": 1500.0, "latency_ms": {"p99": 7.2}}
    served = {"promise_ms": 10, "first": first, "highest_rate": 4100.0, "missed_at": 4300.0, "gpu_megabytes_taken": 900}
    graphs = {"recorded": [[1, 8]], "left_out": [[4, 8]], "megabytes": 12.5}
    parts = {
        "serving": {"state": "done", "seconds": 3.0, "found": served},
        "graphs": {"state": "done", "seconds": 1.0, "found": graphs},
        "onnx": {"state": "failed", "seconds": 2.0, "why": "RuntimeError: a | b"},
    }
    about = {"archive": "a.mar", "device": "T4", "torch": "2.13", "cuda": "13", "began": "now", "on_a_gpu": True}
    shown = markdown(about | {"parts": parts})

    assert "1,500 requests/s: p99 7.2 ms; p99 < 10 ms kept up to 4,100 requests/s, missed at 4,300" in shown
    assert "its workers have 900 MB of the GPU" in shown
    assert "| graphs | done | 1.0 | 1 proven in 12.5 MB, 1 left out |" in shown
    assert "| onnx | failed | 2.0 | RuntimeError: a \\| b |" in shown


@pytest.mark.parametrize("limit", [0.0, 400.0, 1500.0, 1700.0, 7000.0, 1e9])
@pytest.mark.parametrize("tries", [0, 2, 99])
def test_the_highest_rate_is_found_from_above_and_from_below_while_there_is_time(limit: float, tries: int) -> None:
    offered = []

    def keeps(rate: float) -> bool:
        offered.append(rate)
        return rate <= limit

    least, most = rate_between(keeps, 1500, limit >= 1500, lambda: len(offered) < tries)
    assert least <= limit
    assert most is None or most > limit
    assert len(offered) <= min(tries, 9)
    if tries == 99 and limit < 1e9:
        assert most is not None
        assert limit - least <= max(1500, limit) / 16


def test_an_estimate_never_promises_more_than_a_t4s_full_rates() -> None:
    h100 = CARDS["H100"]
    # 32 texts of 32 tokens through 42 million weights: 86 thousand million operations, 1.32 ms of a T4.
    least, most = t4_estimate(h100, total_ms=1.0, device_ms=0.4, operations=86e9, bytes_read=84e6)

    assert least == pytest.approx(0.6 + 1.323, abs=0.001)
    assert most == pytest.approx(0.6 + 0.4 * 989 / 65, abs=0.001)
    # A card that is no faster than a T4 is its own estimate, where the work is small.
    assert t4_estimate(CARDS["T4"], total_ms=1.0, device_ms=0.4, operations=1, bytes_read=1) == (1.0, 1.0)


def test_operations_are_those_of_the_whole_bucket_and_of_first_tokens_in_the_last_layer() -> None:
    shape = EncoderShape(
        vocabulary=50, hidden=16, head_size=8, layers=(LayerShape(2, 32), LayerShape(1, 24)), positions=20, labels=3
    )
    first = 40 * 16 * (3 * 16) + 40 * 16 * (16 + 2 * 32)
    last = 40 * 16 * (3 * 8) + 4 * 16 * (8 + 2 * 24)

    assert operations(shape, 4, 10) == 2 * (first + last + 4 * 16 * (16 + 3))


def test_a_card_is_known_by_the_name_that_the_driver_gives_it() -> None:
    assert card_named("NVIDIA H100 80GB HBM3") == CARDS["H100"]
    assert card_named("NVIDIA A100-SXM4-40GB") == CARDS["A100"]
    assert card_named("Tesla T4") == CARDS["T4"]
    assert card_named("NVIDIA L40S") != CARDS["L4"]
    assert card_named("NVIDIA GeForce GT 710") is None
