"""In which numbers a model is trained is a setting, refused where the machine does not compute in them."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from marwright.config import StudentConfig, TeacherConfig
from marwright.errors import TrainingError
from marwright.training import precision
from marwright.training.precision import autocast, check_precision, soft_targets_in, trained_in


def machine(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool, gpu: bool = False) -> None:
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)


@pytest.mark.parametrize(("bfloat16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_left_alone_it_is_what_the_machine_does_best(
    bfloat16: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, bfloat16=bfloat16)

    assert trained_in("auto") == dtype
    assert soft_targets_in("auto") == torch.bfloat16
    check_precision("auto", "teacher.precision")


def test_fp32_is_fp32_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, bfloat16=True)

    assert trained_in("fp32") == soft_targets_in("fp32") == torch.float32
    with autocast(torch.device("cpu"), torch.float32):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with autocast(torch.device("cpu"), torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_what_the_machine_cannot_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, bfloat16=False)
    with pytest.raises(TrainingError, match=r"teacher\.precision: this machine does not multiply bfloat16"):
        check_precision("bf16", "teacher.precision")
    with pytest.raises(TrainingError, match="fp16 is for training on GPUs"):
        check_precision("fp16", "teacher.precision")

    machine(monkeypatch, bfloat16=True, gpu=True)
    for each in ("fp32", "bf16", "fp16"):
        check_precision(each, "teacher.precision")


def test_older_models_stay_fresh() -> None:
    assert "precision" not in TeacherConfig().model_dump()
    assert TeacherConfig(precision="fp32").model_dump()["precision"] == "fp32"


def test_states_of_two_tokenizers_are_not_compared() -> None:
    with pytest.raises(ValidationError, match="token by token"):
        StudentConfig(checkpoint="some/model", hidden_weight=1)
