"""Texts to padded batches of token ids, as the archive's tokenizer.json says; shared by every handler for texts."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from request_parsing import BadRequest


def text_of(instance: dict[str, Any], max_characters: int) -> str:
    """The text of an instance, cut at `max_characters`.

    Raises:
        BadRequest: there is none, or it is not a string that UTF-8 can hold.
    """
    if "text" not in instance:
        raise BadRequest("text is missing")
    text = instance["text"]
    if not isinstance(text, str):
        raise BadRequest("text must be a string")
    # Far beyond what the module reads; the tokenizer need not see a megabyte.
    text = text[:max_characters]
    if not text.strip():
        raise BadRequest("text is empty")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("text is not valid Unicode: it has a lone surrogate") from None
    return text


class TextEncoder:
    """Tokenizes and pads to the longest text of the batch."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_padding()

    def encode(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and attention mask, int64 of shape (texts, longest)."""
        encodings = self.tokenizer.encode_batch(texts)
        ids = torch.tensor([encoding.ids for encoding in encodings])
        mask = torch.tensor([encoding.attention_mask for encoding in encodings])
        return ids, mask
