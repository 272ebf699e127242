"""A TorchServe handler as in the talk "Serving BERT in production": float32, padded to 512 tokens, one by one.

Its archive's ``setup_config.json`` says whether ``model.pt`` is a traced module or the weights of a Hugging Face one.
"""

import json
import logging
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import map_class_to_label

logger = logging.getLogger(__name__)


class TalkHandler(BaseHandler):
    """`{"text": ...}` to the five best labels."""

    def initialize(self, context: Any) -> None:
        """Load the model and its tokenizer."""
        folder = Path(context.system_properties["model_dir"])
        self.setup_config = json.loads((folder / "setup_config.json").read_text(encoding="utf-8"))
        self.mapping = json.loads((folder / "index_to_name.json").read_text(encoding="utf-8"))
        self.device = torch.device("cpu")
        if self.setup_config["save_mode"] == "jit":
            self.model = torch.jit.load(str(folder / "model.pt"), map_location=self.device)
        else:
            config = transformers.AutoConfig.from_pretrained(folder)
            self.model = transformers.AutoModelForSequenceClassification.from_config(config)
            self.model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        self.tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]"
        )
        self.model.eval()
        self.initialized = True

    def preprocess(self, requests: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad each text to the full length and stack them."""
        ids, masks = [], []
        for request in requests:
            text = (request.get("data") or request.get("body"))["text"]
            logger.info("Received text: '%s'", text)
            inputs = self.tokenizer(
                text,
                padding="max_length",
                truncation=True,
                max_length=self.setup_config["max_length"],
                return_tensors="pt",
            )
            ids.append(inputs["input_ids"])
            masks.append(inputs["attention_mask"])
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
