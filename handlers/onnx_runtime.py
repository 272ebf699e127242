"""Runs an ONNX file with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


class OnnxRuntime:
    """A session for one worker."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Answer int64 ids and mask, (texts, longest)."""
        feeds = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        return torch.from_numpy(self.session.run(["logits"], feeds)[0])


def load(file: Path, settings: dict[str, Any], device: torch.device) -> OnnxRuntime:
    """Load an ONNX file for the CPU, on as many threads as torch has.

    Raises:
        RuntimeError: onnxruntime is not installed beside TorchServe.
    """
    try:
        import onnxruntime
    except ImportError:
        raise RuntimeError(
            "This archive's module is ONNX: install onnxruntime into the environment that torchserve runs in."
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin while they wait would take the cores from the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return OnnxRuntime(session)
