"""The checkpoint in others' hands, between the same tokenizer and the same JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig

from gpu.subject import LeftOutError
from gpu.timing import Answer
from marwright.encoder.families import HuggingFaceClassifier

TOP_K = 5

Rival = Callable[[Path, Any, list[str], torch.device, int], Answer]
"""A Hugging Face folder, the archive's tokenizer, labels by id, a device, and the most tokens of a text, to answers."""


def eager(checkpoint: Path, encoder: Any, labels: Sequence[str], device: torch.device, longest: int) -> Answer:
    """Half precision on a GPU, float32 on a CPU, padded to the longest text of the batch."""
    return _answering(_module(checkpoint, device), encoder, labels, device)


def compiled(checkpoint: Path, encoder: Any, labels: Sequence[str], device: torch.device, longest: int) -> Answer:
    """The same through ``torch.compile(mode="reduce-overhead")``, which records CUDA graphs.

    Every batch has one length, since each other one would be compiled anew.
    """
    module = torch.compile(_module(checkpoint, device), mode="reduce-overhead", dynamic=False)
    return _answering(module, encoder, labels, device, padded_to=-8 * (-longest // 8))


def onnx(checkpoint: Path, encoder: Any, labels: Sequence[str], device: torch.device, longest: int) -> Answer:
    """ONNX Runtime with the transformer optimizer's operators: CUDA in half precision on a GPU, float32 on a CPU.

    Raises:
        LeftOutError: a package is missing, or its build has no CUDA provider, or that cannot be loaded here.
    """
    try:
        import onnxruntime
        from onnxruntime.transformers import optimizer

        from marwright.runtimes.onnx_files import export_float
    except ImportError as error:
        raise LeftOutError(f"it needs the packages onnx and onnxruntime-gpu: {error}") from None
    provider = "CPUExecutionProvider" if device.type == "cpu" else "CUDAExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise LeftOutError(
            f"onnxruntime {onnxruntime.__version__} has no {provider}: pip uninstall onnxruntime, then pip install "
            "onnxruntime-gpu (of the release for this CUDA)"
        )
    with TemporaryDirectory() as folder:
        plain, fused = Path(folder) / "plain.onnx", Path(folder) / "fused.onnx"
        export_float(checkpoint, plain)
        shape = AutoConfig.from_pretrained(checkpoint)
        model = optimizer.optimize_model(
            str(plain),
            model_type="bert",
            num_heads=shape.num_attention_heads,
            hidden_size=shape.hidden_size,
            use_gpu=device.type != "cpu",
        )
        if device.type != "cpu":
            model.convert_float_to_float16(keep_io_types=True)
        model.save_model_to_file(str(fused))
        options = [{"device_id": device.index or 0}] if device.type != "cpu" else [{}]
        session = onnxruntime.InferenceSession(str(fused), providers=[provider], provider_options=options)
    # Where its libraries cannot be loaded it takes the CPU, with a warning only.
    if session.get_providers()[0] != provider:
        raise LeftOutError(
            f"{provider} cannot be loaded here: its log names the library of CUDA or cuDNN that is missing"
        )

    def logits(ids: Tensor, mask: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0])

    # ONNX Runtime copies to its device by itself.
    return _answering(logits, encoder, labels, torch.device("cpu"))


def _module(checkpoint: Path, device: torch.device) -> torch.nn.Module:
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    return HuggingFaceClassifier(checkpoint).eval().to(device, dtype)


def _answering(
    module: Callable[[Tensor, Tensor], Tensor],
    encoder: Any,
    labels: Sequence[str],
    device: torch.device,
    padded_to: int | None = None,
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
