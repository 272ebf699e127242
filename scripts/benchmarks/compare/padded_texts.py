"""What the foreign handlers of the comparison share: Hugging Face's model, and texts padded to one length."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from ts.torch_handler.base_handler import BaseHandler

logger = logging.getLogger(__name__)


class PaddedTexts(BaseHandler):
    """Loads a traced module or the weights of a Hugging Face one, and pads each text to ``max_length``."""

    def initialize(self, context: Any) -> None:
        folder = Path(context.system_properties["model_dir"])
        self.setup_config = json.loads((folder / "setup_config.json").read_text(encoding="utf-8"))
        self.mapping = json.loads((folder / "index_to_name.json").read_text(encoding="utf-8"))
        self.device = torch.device("cpu")
        if self.setup_config.get("save_mode") == "jit":
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

    def padded(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask of a text, (1, max_length) each."""
        logger.info("Received text: '%s'", text)
        length = self.setup_config["max_length"]
        inputs = self.tokenizer(text, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return inputs["input_ids"], inputs["attention_mask"]
