"""The archives of the comparison: two handlers of others, rewritten in their spirit, and marwright's own."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Literal

from compare.artifacts import Artifacts
from marwright.files import read_json, stable_json
from marwright.mar import layout
from marwright.mar.writing import Contents, Manifest, pack
from marwright.workspace import ModelFolder

HERE = Path(__file__).parent
TALK_LENGTH = 512
EXAMPLE_LENGTH = 150
"""``max_length`` in the example's own configuration."""

STOCK = "batchSize: 1\nmaxBatchDelay: 100\nresponseTimeout: 120\ndeviceType: cpu\n"
"""What TorchServe does where nobody says anything; workers are not named, so there is one for each core."""

EXAMPLE = "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 4\nmaxBatchDelay: 10\nresponseTimeout: 120\ndeviceType: cpu\n"
"""The example's worker and batch. Its delay of 5000 ms would be the latency of a lone client; TorchServe's page on
batches has 10."""


def pack_talk(artifacts: Artifacts, mode: Literal["jit", "original"]) -> Path:
    """Pack the talk's archive, with a traced module or with a module's weights."""
    import torch

    model = _float_model(artifacts)
    file = artifacts.folder / f"talk-{mode}.pt"
    if mode == "jit":
        model.config.return_dict = False
        example = torch.ones((1, TALK_LENGTH), dtype=torch.int64)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(model, (example, example), strict=False, check_trace=False)
        torch.jit.save(traced, str(file))
    else:
        torch.save(model.state_dict(), file)
    contents = _foreign(artifacts, file, {"save_mode": mode, "max_length": TALK_LENGTH, "top_k": 5})
    contents.add(layout.MODEL_CONFIG, STOCK)
    return _packed(artifacts, contents, f"talk-{mode}", "talk_handler.py")


def pack_example(artifacts: Artifacts) -> Path:
    """Pack an archive like the one of TorchServe's Hugging Face example."""
    import torch

    file = artifacts.folder / "example.pt"
    torch.save(_float_model(artifacts).state_dict(), file)
    contents = _foreign(artifacts, file, {"max_length": EXAMPLE_LENGTH})
    contents.add(layout.MODEL_CONFIG, EXAMPLE)
    return _packed(artifacts, contents, "example", "example_handler.py")


def pack_own(artifacts: Artifacts, name: str, model: ModelFolder) -> Path:
    """Build marwright's archive from a checkpoint, as ``marwright build`` does."""
    from marwright.archive.station import build_archive
    from marwright.config import ArchiveConfig

    file = artifacts.archive(name)
    build_archive(ArchiveConfig(), artifacts.exported(model), name=name, file=file)
    return file


def _foreign(artifacts: Artifacts, module: Path, settings: dict[str, Any]) -> Contents:
    """What the archives of others hold, but for handler and worker settings."""
    contents = Contents()
    labels = read_json(artifacts.run.data.labels)
    contents.add(layout.CPU_MODULE, module)
    contents.add(layout.SETUP, stable_json(settings))
    contents.add(layout.LABELS, json.dumps({str(index): label for index, label in enumerate(labels)}, indent=2))
    contents.add(layout.TOKENIZER, artifacts.run.teacher.tokenizer)
    contents.add("config.json", artifacts.run.teacher.checkpoint / "config.json")
    module.unlink()
    return contents


def _packed(artifacts: Artifacts, contents: Contents, name: str, handler: str) -> Path:
    for file in (handler, "padded_texts.py"):
        contents.add(file, HERE / file)
    file = artifacts.archive(name)
    pack(contents, file, Manifest(name=name, version="1.0", handler=handler))
    return file


def _float_model(artifacts: Artifacts) -> Any:
    from transformers import AutoModelForSequenceClassification

    from marwright.pretrained.checkpoints import quiet_transformers

    quiet_transformers()
    return AutoModelForSequenceClassification.from_pretrained(artifacts.run.teacher.checkpoint).eval()
