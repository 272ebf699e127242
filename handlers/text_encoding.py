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
        self.tokenizer.no_padding()

    def encode(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and attention mask, int64 of shape (texts, longest)."""
        # Without the offsets of the tokens in the text, which nobody asks for.
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]
        lengths = [len(row) for row in rows]
        longest = max(lengths)
        # The mask hides what fills the rows, so any id would do.
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        # A single text above all: each small operation costs it as much as it would cost a full batch.
        if min(lengths) == longest:
            return ids, torch.ones_like(ids)
        mask = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
        return ids, mask.to(torch.int64)
