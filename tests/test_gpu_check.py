"""scripts/gpu_check.py, as far as a CPU can take it, and its arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import gpu_check
from gpu.cards import CARDS, card_named, t4_estimate
from gpu.operations import operations
from gpu.rates import highest_rate
from marwright.encoder.shape import EncoderShape, LayerShape

CONFIG = "name: run\nruns: {folder}\ndata:\n  source: {{name: table, path: goods.csv}}\n"


def test_every_measurement_runs_on_a_cpu_and_is_written(
    tiny_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "goods.yaml"
    config.write_text(CONFIG.format(folder=tiny_archive.parent), encoding="utf-8")
    output = tmp_path / "found.json"
    threads = torch.get_num_threads()
    call = [str(tiny_archive), "--config", str(config), "--device", "cpu", "--calls", "3", "--rivals", "eager"]
    gpu_check.main([*call, "--output", str(output)])
    torch.set_num_threads(threads)

    found = json.loads(output.read_text(encoding="utf-8"))
    assert found["texts"] == 60
    # fp16 of the GPU's module, computed here, against float32 as it was recorded.
    assert found["agreement"]["with_fp32"]["same_label"] == 1
    assert 0 < found["agreement"]["with_fp32"]["largest_difference"] < 0.05
    assert found["agreement"]["with_cpu"]["same_label"] > 0.9
    for batch, texts in (("1 × 16", 1), ("32 mixed", 32)):
        ways = found["timing"][batch]["ways"]
        assert set(ways) == {"marwright", "Hugging Face, eager"}
        each = ways["marwright"]
        assert 0 < each["p50_ms"] <= each["p99_ms"]
        assert each["texts_per_second"] == pytest.approx(1000 * texts / each["p50_ms"], rel=0.9)
    assert "1 × 16: Hugging Face, eager" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_writes_nothing(
    tiny_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu_check.main([str(tiny_archive), "--output", str(tmp_path / "found.json")])

    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such GPU" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [0.0, 400.0, 1500.0, 1700.0, 7000.0])
def test_the_highest_rate_is_found_from_above_and_from_below(limit: float) -> None:
    offered = []

    def keeps(rate: float) -> bool:
        offered.append(rate)
        return rate <= limit

    found = highest_rate(keeps, 1500, limit >= 1500)
    assert found <= limit
    assert limit - found <= max(1500, limit) / 16
    assert len(offered) <= 9


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
