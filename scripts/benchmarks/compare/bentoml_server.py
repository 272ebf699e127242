"""BentoML: adaptive batches, ``bentoml serve compare.bentoml_server:Classifier``.

As its documentation says: a worker for each core, ``batchable`` with a list of texts as the only parameter; the
dispatcher learns from the traffic how long to wait.
"""

from __future__ import annotations

import os

import bentoml

from compare.model_folder import BATCH
from compare.onnx_classifier import OnnxClassifier


@bentoml.service(workers=os.cpu_count() or 1, traffic={"timeout": 60})
class Classifier:
    def __init__(self) -> None:
        self.classifier = OnnxClassifier()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=1000)
    def classify(self, texts: list[str]) -> list[dict[str, float]]:
        """Label: probability for each text, best first."""
        return self.classifier.classify(texts)
