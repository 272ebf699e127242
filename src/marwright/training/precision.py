"""In which numbers a model is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from marwright.config import TrainingPrecision
from marwright.errors import TrainingError


def has_fast_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 matrices in hardware; elsewhere autocast would slow training down."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(flag in flags.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def check_precision(precision: TrainingPrecision, setting: str) -> None:
    """Refuse a precision that this machine does not compute in.

    Raises:
        TrainingError: the sentence names the setting.
    """
    if precision == "bf16" and not has_fast_bfloat16():
        raise TrainingError(
            f"{setting}: this machine does not multiply bfloat16 in hardware: write fp32, or auto for what it does best"
        )
    if precision == "fp16" and not torch.cuda.is_available():
        raise TrainingError(
            f"{setting}: fp16 is for training on GPUs, and there is none here: write auto, fp32 or bf16"
        )


def trained_in(precision: TrainingPrecision) -> torch.dtype:
    """The type in which matrices are multiplied during training."""
    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16() else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def soft_targets_in(precision: TrainingPrecision) -> torch.dtype:
    """The type for answers that are only learnt from: 16 bits are good enough, and three times as fast."""
    return torch.bfloat16 if precision == "auto" else trained_in(precision)


def autocast(device: torch.device, dtype: torch.dtype) -> Any:
    """Compute in a type of 16 bits where that is exact enough; does nothing for float32."""
    enabled = dtype != torch.float32
    return torch.autocast(device.type, dtype if enabled else torch.bfloat16, enabled=enabled)
