"""What a Python server of the comparison finds: a folder, named by its environment, and the files in it."""

from __future__ import annotations

FOLDER = "COMPARE_MODEL"
WAIT_MS = "COMPARE_WAIT_MS"

MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
LABELS = "labels.json"

BATCH = 16
"""The largest batch of every server that makes batches."""
BEST = 5
"""Labels in an answer."""
