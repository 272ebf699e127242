"""mosec: dynamic batches by a Rust front, ``python -m compare.mosec_server --port 8000 --address 127.0.0.1``.

As its documentation says: a process for each core, one thread in each, ``max_wait_time`` below the time of a batch.
"""

from __future__ import annotations

import os
from typing import Any

from mosec import Server, Worker

from compare.model_folder import BATCH, WAIT_MS
from compare.onnx_classifier import OnnxClassifier


class Classifier(Worker):
    def __init__(self) -> None:
        super().__init__()
        self.classifier = OnnxClassifier()
        self.example = [{"text": "warm-up"}] * BATCH

    def forward(self, data: list[Any]) -> list[dict[str, float]]:
        return self.classifier.classify([item["text"] for item in data])


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Classifier, num=os.cpu_count() or 1, max_batch_size=BATCH, max_wait_time=int(os.environ[WAIT_MS])
    )
    server.run()
