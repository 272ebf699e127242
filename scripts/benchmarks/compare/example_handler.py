"""A TorchServe handler that behaves as the Hugging Face example in TorchServe's repository.

Every text is padded to ``max_length``, batches are concatenated row by row, the answer is the best label alone.
"""

from typing import Any

import torch
from padded_texts import PaddedTexts


class ExampleHandler(PaddedTexts):
    """A text to its best label."""

    def preprocess(self, requests: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Grow the batch by a row for each request."""
        ids = mask = None
        for request in requests:
            text = request.get("data") or request.get("body")
            if isinstance(text, bytes | bytearray):
                text = text.decode("utf-8")
            if isinstance(text, dict):
                text = text["text"]
            row, row_mask = self.padded(text)
            ids = row if ids is None else torch.cat((ids, row))
            mask = row_mask if mask is None else torch.cat((mask, row_mask))
        return ids, mask

    def inference(self, batch: tuple[torch.Tensor, torch.Tensor]) -> list[str]:
        """The best label of each row."""
        with torch.no_grad():
            logits = self.model(*batch).logits
        print("The output of the classification model", logits.size())
        return [self.mapping[str(row.unsqueeze(0).argmax(1).item())] for row in logits]

    def postprocess(self, answers: list[str]) -> list[str]:
        """Nothing is left to do."""
        return answers
