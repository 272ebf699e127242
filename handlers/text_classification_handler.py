"""Short texts to labels with probabilities, best first; a text that is too uncertain gets no label if so asked."""

from __future__ import annotations

import math
from typing import Any

import torch

from bad_request import BadRequest
from resilient_handler import ResilientHandler
from text_encoding import TextEncoder, text_of


class TextClassificationHandler(ResilientHandler):
    """`{"text": "herbal tea"}` to `{"Coffee, tea, mate and spices": 0.97, ...}`."""

    def setup(self) -> None:
        """Load the tokenizer; index_to_name.json is already in `self.mapping`."""
        self.encoder = TextEncoder(self.folder)
        self.labels = [self.mapping[str(index)] for index in range(len(self.mapping))]
        self.temperature = self.settings["temperature"]
        # Which fields a request may send in place of one text, and what stands between them.
        self.text = self.settings.get("text", {})

    def prepare(self, instance: dict[str, Any]) -> tuple[str, int, float]:
        """Return the text, how many labels are wanted, and how probable the best one must be."""
        top_k = instance.get("top_k")
        if top_k is None:
            top_k = min(self.settings["top_k"], len(self.labels))
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= len(self.labels):
            raise BadRequest(f"top_k must be a whole number from 1 to {len(self.labels)}")
        confidence = instance.get("min_confidence")
        if confidence is None:
            confidence = self.settings["min_confidence"] or 0.0
        # Written so that a NaN is refused.
        if isinstance(confidence, bool) or not isinstance(confidence, (int, float)) or not 0 <= confidence <= 1:
            raise BadRequest("min_confidence must be a number from 0 to 1")
        return text_of(instance, self.settings["max_characters"], **self.text), top_k, confidence

    def predict(self, examples: list[tuple[str, int, float]]) -> list[dict[str, Any]]:
        """Return label: probability for each text, best first; under a label of None where the best one is unsure."""
        with self.phase("EncodeTime"):
            ids, mask = self.encoder.encode([text for text, _, _ in examples])
        self.count("Tokens", int(mask.sum()))
        self.count("UnknownTokens", self.encoder.take_unknown_tokens())
        self.count("Slots", mask.numel())
        with self.phase("ModelTime"), torch.inference_mode():
            logits = self.runtime.logits(ids, mask)
            probabilities = torch.softmax(logits / self.temperature, dim=1)
            best = probabilities.topk(max(top_k for _, top_k, _ in examples))
            # One tensor, and so one copy from the device; float32 holds any number of labels exactly.
            values, indices = torch.stack((best.values, best.indices.to(best.values.dtype))).tolist()
        if not all(math.isfinite(row[0]) for row in values):
            # It would be no JSON, and its labels would be any.
            raise ArithmeticError("the module's answer is no number")
        return [
            self._answer(values[at][:top_k], indices[at][:top_k], min_confidence)
            for at, (_, top_k, min_confidence) in enumerate(examples)
        ]

    def _answer(self, values: list[float], indices: list[float], min_confidence: float) -> dict[str, Any]:
        pairs = zip(values, indices)  # noqa: B905 (strict came with Python 3.10)
        answer = {self.labels[int(index)]: round(value, 6) for value, index in pairs}
        if values[0] < min_confidence:
            self.count("Abstentions", 1)
            return {"label": None, "predictions": answer}
        self.count("Labels", 1, next(iter(answer)))
        return answer
