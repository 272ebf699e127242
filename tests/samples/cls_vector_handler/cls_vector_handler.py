"""Text in, the [CLS] vector out: a second task on the same base."""

from typing import Any

import torch

from resilient_handler import ResilientHandler
from text_encoding import TextEncoder, text_of


class ClsVectorHandler(ResilientHandler):
    """`{"text": "herbal tea"}` to `{"vector": [0.12, ...]}`; the module gives (texts, hidden)."""

    def setup(self) -> None:
        self.encoder = TextEncoder(self.folder)

    def prepare(self, instance: dict[str, Any]) -> str:
        return text_of(instance, self.settings["max_characters"])

    def predict(self, examples: list[str]) -> list[dict[str, list[float]]]:
        ids, mask = self.encoder.encode(examples)
        with torch.inference_mode():
            vectors = self.runtime.logits(ids, mask)
        return [{"vector": vector} for vector in vectors.tolist()]
