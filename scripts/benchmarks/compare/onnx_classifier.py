"""Texts to labels with ONNX Runtime: the part that the Python servers of the comparison have in common.

One compute thread, padding to the longest text of the batch, softmax and the five best labels in NumPy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from compare.model_folder import BATCH, BEST, FOLDER, LABELS, MODEL, TOKENIZER


class OnnxClassifier:
    """A model, a tokenizer and labels from the folder that the environment names."""

    def __init__(self) -> None:
        folder = Path(os.environ[FOLDER])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self.tokenizer.enable_padding()
        self.labels = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        self.classify(["warm-up"] * BATCH)
        self.classify(["warm-up"])

    def classify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return label: probability for each text, best first."""
        encodings = self.tokenizer.encode_batch(list(texts))
        feeds = {
            "input_ids": np.array([encoding.ids for encoding in encodings], dtype=np.int64),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64),
        }
        logits = self.session.run(None, feeds)[0]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        best = np.argsort(-probabilities, axis=1)[:, :BEST]
        return [
            {self.labels[index]: round(float(row[index]), 6) for index in indices}
            for row, indices in zip(probabilities, best, strict=True)
        ]
