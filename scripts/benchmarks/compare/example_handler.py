"""A TorchServe handler that behaves as the Hugging Face example in TorchServe's repository.

Every text is padded to ``max_length``, batches are concatenated row by row, the answer is the best label alone.
"""

import json
import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from ts.torch_handler.base_handler import BaseHandler

logger = logging.getLogger(__name__)


class ExampleHandler(BaseHandler):
    """A text to its best label."""

    def initialize(self, context: Any) -> None:
        """Load the Hugging Face model and its tokenizer."""
        folder = Path(context.system_properties["model_dir"])
        self.setup_config = json.loads((folder / "setup_config.json").read_text(encoding="utf-8"))
        self.mapping = json.loads((folder / "index_to_name.json").read_text(encoding="utf-8"))
        self.device = torch.device("cpu")
        config = transformers.AutoConfig.from_pretrained(folder)
        self.model = transformers.AutoModelForSequenceClassification.from_config(config)
        self.model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        self.tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]"
        )
        self.model.eval()
        self.initialized = True

    def preprocess(self, requests: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Grow the batch by a row for each request."""
        ids = mask = None
        for request in requests:
            text = request.get("data") or request.get("body")
            if isinstance(text, bytes | bytearray):
                text = text.decode("utf-8")
            if isinstance(text, dict):
                text = text["text"]
            logger.info("Received text: '%s'", text)
            inputs = self.tokenizer(
                text,
                padding="max_length",
                truncation=True,
                max_length=self.setup_config["max_length"],
                return_tensors="pt",
            )
            ids = inputs["input_ids"] if ids is None else torch.cat((ids, inputs["input_ids"]))
            mask = inputs["attention_mask"] if mask is None else torch.cat((mask, inputs["attention_mask"]))
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
