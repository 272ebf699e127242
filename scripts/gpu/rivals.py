"""The checkpoint in Hugging Face's own module, eager and compiled, between the same tokenizer and the same JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gpu.timing import Answer
from marwright.encoder.families import HuggingFaceClassifier

TOP_K = 5


def eager(checkpoint: Path, encoder: Any, labels: Sequence[str], device: torch.device) -> Answer:
    """Half precision on a GPU, float32 on a CPU, padded to the longest text of the batch."""
    return _answering(_module(checkpoint, device), encoder, labels, device, padded_to=None)


def compiled(checkpoint: Path, encoder: Any, labels: Sequence[str], device: torch.device, padded_to: int) -> Answer:
    """The same through ``torch.compile(mode="reduce-overhead")``, which records CUDA graphs.

    Args:
        checkpoint: a Hugging Face folder.
        encoder: the archive's tokenizer, as its handler has it.
        labels: in the order of their ids.
        device: where it runs.
        padded_to: tokens; every batch has this length, since each other one would be compiled anew.
    """
    module = torch.compile(_module(checkpoint, device), mode="reduce-overhead", dynamic=False)
    return _answering(module, encoder, labels, device, padded_to)


def _module(checkpoint: Path, device: torch.device) -> torch.nn.Module:
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    return HuggingFaceClassifier(checkpoint).eval().to(device, dtype)


def _answering(
    module: Callable[[Tensor, Tensor], Tensor],
    encoder: Any,
    labels: Sequence[str],
    device: torch.device,
    padded_to: int | None,
) -> Answer:
    most = min(TOP_K, len(labels))

    def answer(texts: Sequence[str]) -> list[bytes]:
        batch = torch.stack(encoder.encode(list(texts)))
        if padded_to is not None:
            batch = functional.pad(batch, (0, padded_to - batch.size(2)))
        # One copy there and one back, as in the archive's handler.
        with torch.inference_mode():
            ids, mask = batch.to(device)
            best = torch.softmax(module(ids, mask).float(), dim=1).topk(most)
            values, indices = torch.stack((best.values, best.indices.float())).tolist()
        return [
            json.dumps({labels[int(index)]: round(value, 6) for value, index in zip(*row, strict=True)}).encode()
            for row in zip(values, indices, strict=True)
        ]

    return answer
