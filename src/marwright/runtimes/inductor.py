"""Compiles a module to machine code by `torch.export` and AOTInductor, and loads what was compiled."""

from __future__ import annotations

import logging
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from marwright.encoder.logits import Module
from marwright.errors import ExportError
from marwright.schemes.captured_linear import CapturedInt8Linear

MOST_TEXTS = 1 << 16
TYPICAL_TOKENS = 256


def compile_package(module: nn.Module, example: tuple[Tensor, Tensor], max_length: int, file: Path) -> None:
    """Capture a module for any batch and length, and compile it for one thread of a processor like this one.

    The example is ids and attention mask, (batch, length) int64 each, of more than one text and token.

    Raises:
        ExportError: the module cannot be captured.
    """
    from torch._inductor import aoti_compile_and_package
    from torch.fx.experimental import _config as symbols

    sizes = {
        0: torch.export.Dim("batch", min=1, max=MOST_TEXTS),
        1: torch.export.Dim("length", min=2, max=max(max_length, example[0].size(1))),
    }
    # Sizes from the example must not become conditions: a graph captured with many texts must take one.
    with torch.no_grad(), _quiet(), symbols.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        try:
            captured = torch.export.export(module, example, dynamic_shapes=(sizes, sizes))
        except Exception as error:  # torch.export has dozens of its own
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ExportError(f"torch.export cannot capture {type(module).__name__}: {reason}") from error
        # The file's name becomes part of the package.
        with tempfile.TemporaryDirectory(prefix="marwright-") as folder:
            package = aoti_compile_and_package(
                captured, package_path=str(Path(folder) / "model.pt2"), inductor_configs=_settings(module)
            )
            shutil.copyfile(package, file)


def load(file: Path) -> Module:
    """Read a package, called with tensors of any batch and length."""
    with _quiet():
        compiled = torch._inductor.aoti_load_package(str(file))

    def logits(ids: Tensor, mask: Tensor) -> Tensor:
        if ids.size(1) == 1:
            ids, mask = functional.pad(ids, [0, 1]), functional.pad(mask, [0, 1])
        answer: Tensor = compiled(ids, mask)
        return answer

    return logits


def _settings(module: nn.Module) -> dict[str, Any]:
    """What Inductor is told."""
    settings: dict[str, Any] = {
        # Weights become constants, packed as the kernels want them.
        "freezing": True,
        # Any processor with these instructions, not only this very one.
        "cpp.march": _march(),
        "cpp.threads": 1,
    }
    if any(isinstance(child, CapturedInt8Linear) for child in module.modules()):
        # Inductor's own kernels for the products: oneDNN makes and keeps one for every number of tokens, and costs more
        # to call. With one choice for each product nothing is timed, so two builds choose alike.
        settings |= {
            "max_autotune": True,
            "max_autotune_gemm_backends": "CPP,ATEN",
            "test_configs.autotune_choice_name_regex": "CppMicro|bmm",
            # The number of real tokens is known when a batch comes; kernels are laid out for about so many.
            "unbacked_symint_fallback": TYPICAL_TOKENS,
        }
    return settings


def _march() -> str | None:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    return "x86-64-v4" if has_avx512() else "x86-64-v3"


def has_avx512() -> bool:
    """Whether this processor has AVX-512."""
    return bool(torch.cpu._is_avx512_supported())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Inductor's tables of what it timed and the warnings of operators that are leaving PyTorch."""
    from torch._inductor import select_algorithm

    logger = logging.getLogger("torch._inductor")
    level, tables = logger.level, select_algorithm.PRINT_AUTOTUNE
    logger.setLevel(logging.ERROR)
    select_algorithm.PRINT_AUTOTUNE = False
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
        select_algorithm.PRINT_AUTOTUNE = tables
