"""Short texts to labels with probabilities, best first."""

from typing import Any

import torch

from request_parsing import BadRequest
from resilient_handler import ResilientHandler
from text_encoding import TextEncoder, text_of


class TextClassificationHandler(ResilientHandler):
    """`{"text": "herbal tea"}` to `{"Coffee, tea, mate and spices": 0.97, ...}`."""

    def setup(self) -> None:
        """Load the tokenizer; index_to_name.json is already in `self.mapping`."""
        self.encoder = TextEncoder(self.folder)
        self.labels = [self.mapping[str(index)] for index in range(len(self.mapping))]

    def prepare(self, instance: dict[str, Any]) -> tuple[str, int]:
        """Return the text and how many labels are wanted."""
        top_k = instance.get("top_k")
        if top_k is None:
            top_k = min(self.settings["top_k"], len(self.labels))
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= len(self.labels):
            raise BadRequest(f"top_k must be a whole number from 1 to {len(self.labels)}")
        return text_of(instance, self.settings["max_characters"]), top_k

    def predict(self, examples: list[tuple[str, int]]) -> list[dict[str, float]]:
        """Return label: probability for each text, best first."""
        with self.phase("EncodeTime"):
            ids, mask = self.encoder.encode([text for text, _ in examples])
        self.count("Tokens", int(mask.sum()))
        self.count("Slots", mask.numel())
        with self.phase("ModelTime"), torch.inference_mode():
            logits = self.runtime.logits(ids, mask)
            best = torch.softmax(logits, dim=1).topk(max(top_k for _, top_k in examples))
            values, indices = best.values.tolist(), best.indices.tolist()
        return [
            {self.labels[index]: round(value, 6) for value, index in zip(values[at][:k], indices[at][:k], strict=True)}
            for at, (_, k) in enumerate(examples)
        ]
