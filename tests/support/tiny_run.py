"""A run up to its student, one with random weights: the stations after it then take seconds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from marwright.archive.station import build_archive
from marwright.compression.station import compress
from marwright.config import ArchiveConfig, CompressionConfig, ExportConfig
from marwright.encoder.families import HuggingFaceClassifier
from marwright.encoder.logits import logits_of
from marwright.export.station import export
from marwright.files import stable_json, write_text
from marwright.pretrained.tokenization import token_ids
from marwright.workspace import SPLITS, Run
from tiny_models import save_tiny_classifier, tiny_tokenizer

Runtime = Literal["torchscript", "onnxruntime", "aotinductor"]
LABELS = ["tea", "coffee", "Käse", "rice", "wool"]
LONGEST = 32


def trained(root: Path, **shape: int) -> Run:
    """Fill a run up to its student, as the stations before the compression would; ``shape`` is of transformers."""
    run = Run(root)
    chosen = random.Random(0)
    texts = [" ".join(chosen.choices(["of", "the", "and", "tea"], k=1 + at % 20)) for at in range(60)]
    rows = {"text": texts, "label": [at % len(LABELS) for at in range(len(texts))]}
    features = Features({"text": Value("string"), "label": ClassLabel(names=LABELS)})
    DatasetDict({split: Dataset.from_dict(rows, features) for split in SPLITS}).save_to_disk(str(run.data.splits))
    write_text(run.data.labels, stable_json(LABELS))
    about = {"origin": "chance", "rows": {"test": 60}, "labels": 5, "majority_share": {"test": 0.2}}
    write_text(run.data.card, stable_json(about | {"tokens": {}, "baseline": {}}))

    save_tiny_classifier(run.student.checkpoint, "bert", **shape)
    tokenizer = tiny_tokenizer()
    tokenizer.enable_truncation(LONGEST)
    tokenizer.save(str(run.student.tokenizer))
    student = HuggingFaceClassifier(run.student.checkpoint)
    np.save(run.student.logits("test"), logits_of(student, token_ids(tokenizer, texts), 0, "test"))
    for model in (run.teacher, run.student):
        write_text(model.metrics, stable_json({"test": {"accuracy": 0.2, "macro_f1": 0.1}}))
    return run


def finish(
    run: Run,
    archive: Path,
    activations: Literal["dynamic", "static"] = "dynamic",
    runtime: Runtime = "torchscript",
) -> None:
    """Run the stations that come after the student."""
    compression = CompressionConfig(activations=activations)
    # Labels of chance fit no temperature but the largest, under which all answers would look alike.
    exporting = ExportConfig(runtime=runtime, temperature=0.8)
    for folder in (run.compressed.root, run.exported.root):
        folder.mkdir()
    compress(compression, exporting, run.data, run.student, output=run.compressed.root)
    export(exporting, run.data, run.student, run.compressed, max_length=LONGEST, output=run.exported.root)
    build_archive(ArchiveConfig(), run, name="goods", file=archive)


def packed(
    root: Path,
    activations: Literal["dynamic", "static"] = "dynamic",
    runtime: Runtime = "torchscript",
    **shape: int,
) -> Path:
    """A whole archive of random weights."""
    torch.manual_seed(0)
    run = trained(root / "run", **shape)
    finish(run, root / "goods.mar", activations, runtime)
    return root / "goods.mar"
