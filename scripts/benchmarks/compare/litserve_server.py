"""LitServe: dynamic batches, ``python -m compare.litserve_server --port 8000``.

As its documentation says: on a CPU a worker for each core, as many HTTP processes as workers (the default), ZeroMQ
queues (``fast_queue``) from 100 requests/s on, and the batching methods of its own BERT benchmark.
"""

from __future__ import annotations

import argparse
import os

import litserve

from compare.model_folder import BATCH, WAIT_MS
from compare.onnx_classifier import OnnxClassifier


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.classifier = OnnxClassifier()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe takes a type for a schema
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, texts: list[str]) -> list[dict[str, float]]:
        return self.classifier.classify(texts)

    def unbatch(self, output: list[dict[str, float]]) -> list[dict[str, float]]:
        return output

    def encode_response(self, output: dict[str, float]) -> dict[str, float]:
        return output


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    api = Classifier(max_batch_size=BATCH, batch_timeout=int(os.environ[WAIT_MS]) / 1000)
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=os.cpu_count() or 1, fast_queue=True
    )
    server.run(host="127.0.0.1", port=arguments.port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
