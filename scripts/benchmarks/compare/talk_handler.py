"""A TorchServe handler as in the talk "Serving BERT in production": float32, padded to 512 tokens, one by one.

Its archive's ``setup_config.json`` says whether ``model.pt`` is a traced module or the weights of a Hugging Face one.
"""

import time
from typing import Any

import torch
from padded_texts import PaddedTexts
from ts.utils.util import map_class_to_label


class TalkHandler(PaddedTexts):
    """`{"text": ...}` to the five best labels."""

    def preprocess(self, requests: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad each text to the full length and stack them."""
        rows = [self.padded((request.get("data") or request.get("body"))["text"]) for request in requests]
        ids, masks = zip(*rows, strict=True)
        return torch.cat(ids), torch.cat(masks)

    def inference(self, batch: tuple[torch.Tensor, torch.Tensor]) -> list[Any]:
        """Softmax and the best labels, a text after the other."""
        with torch.no_grad():
            logits = self.model(*batch)[0]
        answers = []
        for row in logits:
            best, indices = torch.topk(torch.softmax(row.unsqueeze(0), dim=1), self.setup_config["top_k"], dim=1)
            answers.append(map_class_to_label(best.tolist(), self.mapping, indices.tolist()))
        return answers

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        """Answer a batch, which TorchServe makes of one request."""
        started = time.time()
        answers = self.inference(self.preprocess(data))
        context.metrics.add_time("HandlerTime", round((time.time() - started) * 1000, 2), None, "ms")
        return answers
