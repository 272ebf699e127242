"""Texts to padded batches of token ids, as the archive's tokenizer.json says; shared by every handler for texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from bad_request import BadRequest
from text_fields import join_fields


def text_of(instance: dict[str, Any], max_characters: int, fields: Sequence[str] = (), join: str = " ") -> str:
    """The text of an instance, cut at `max_characters`: its `text`, or its fields joined as the build joined them.

    A request may send `fields` in place of `text`; those that are missing, empty or null are left out.

    Raises:
        BadRequest: there is none, or it is not a string that UTF-8 can hold.
    """
    given = [name for name in fields if name in instance]
    if "text" in instance and "text" not in given:
        if given:
            raise BadRequest(f"send either text or {_quoted(given)}, not both")
        given = ["text"]
    if not given:
        others = _quoted([name for name in fields if name != "text"])
        raise BadRequest(f"text is missing; so are {others}" if others else "text is missing")
    for name in given:
        # One of several fields may be missing, as in the table; the text itself may not.
        empty = instance[name] is None and given != ["text"]
        if not empty and not isinstance(instance[name], str):
            raise BadRequest(f"{_quoted([name])} must be a string")
    text = join_fields((instance[name] for name in given), join)
    # Far beyond what the module reads; the tokenizer need not see a megabyte.
    text = text[:max_characters]
    if not text.strip():
        raise BadRequest("text is empty")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("text is not valid Unicode: it has a lone surrogate") from None
    return text


def _quoted(names: Sequence[str]) -> str:
    """Names as the message of an error may hold them: in ASCII."""
    return ", ".join(name if name == "text" else json.dumps(name) for name in names)


class TextEncoder:
    """Tokenizes and pads to the longest text of the batch.

    The build has seen to it that tokenizer.json takes spellings such as [SEP] for ordinary characters.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "tokenizer.json"
        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.no_padding()
        self.unknown = _unknown_id(json.loads(file.read_text(encoding="utf-8"))["model"], self.tokenizer)
        self.unknown_tokens = 0

    def encode(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and attention mask, int64 of shape (texts, longest)."""
        # Without the offsets of the tokens in the text, which nobody asks for. Where nothing at all is left of a text,
        # one token stands for it, since attention must have something to look at.
        rows = [encoding.ids or [0] for encoding in self.tokenizer.encode_batch_fast(texts)]
        if self.unknown is not None:
            self.unknown_tokens += sum([row.count(self.unknown) for row in rows])
        lengths = [len(row) for row in rows]
        longest = max(lengths)
        # The mask hides what fills the rows, so any id would do.
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        # A single text above all: each small operation costs it as much as it would cost a full batch.
        if min(lengths) == longest:
            return ids, torch.ones_like(ids)
        mask = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
        return ids, mask.to(torch.int64)

    def take_unknown_tokens(self) -> int:
        """How many tokens since the last call stood for characters that the vocabulary does not have."""
        taken, self.unknown_tokens = self.unknown_tokens, 0
        return taken


def _unknown_id(model: dict[str, Any], tokenizer: Tokenizer) -> int | None:
    """The id of what has no token; there is none where a tokenizer spells everything out in bytes."""
    name = model.get("unk_token")
    unknown: int | None = model.get("unk_id") if name is None else tokenizer.token_to_id(name)
    return unknown
