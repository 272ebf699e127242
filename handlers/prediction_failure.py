"""What a client is told of a text that the module could not answer; the log has the rest."""

from __future__ import annotations

import torch


class PredictionFailure(Exception):
    """Stands in the place of an answer. It is never raised, so that it holds no stack, and no tensor of one."""

    code = 503
    phrase = "Service Unavailable"

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that there is no memory; the driver and cuBLAS raise it as a plain error."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("out of memory", "ALLOC_FAILED"))


def failure_after(error: Exception) -> PredictionFailure:
    """The failure that an error of the module means for a text that was tried alone."""
    if is_out_of_memory(error):
        return PredictionFailure("OutOfMemory", "There is no memory for this request now. Send it again later.")
    return PredictionFailure("PredictionFailed", "This request could not be answered.")
