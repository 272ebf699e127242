"""When two texts are one text: when the model sees the same of both.

Texts that differ in capitals, blanks or line breaks are often one row of token ids, and so are texts that differ only
after the place where they are cut. A test row of such a twin in train tests nothing.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from marwright.pretrained.tokenization import unknown_id

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BATCH = 1024
_KEY_BYTES = 16


def folded(text: str) -> str:
    """The text without what people do not read as a difference: NFKC, case folded, white space as single blanks.

    It depends on no tokenizer.
    """
    once = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", once).split())


def identities(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, bytes]:
    """A key for each text; texts of equal keys are one text to the model.

    It is a hash of the token ids after normalising and cutting. Runs of white space count as one blank for tokenizers
    too that keep them. An unknown token stands for any word, so its own characters, folded, are hashed with it: two
    texts in a script that the tokenizer cannot read are two texts.

    Args:
        tokenizer: cuts texts where the model does.
        texts: each is asked once, however often it occurs.

    Returns:
        16 bytes for each distinct text.
    """
    unknown = unknown_id(tokenizer)
    found = {}
    distinct = list(dict.fromkeys(texts))
    for start in range(0, len(distinct), _BATCH):
        batch = distinct[start : start + _BATCH]
        plain = [" ".join(text.split()) for text in batch]
        # Without offsets, which take most of the time and are seldom needed.
        for text, asked, encoding in zip(batch, plain, tokenizer.encode_batch_fast(plain), strict=True):
            key = blake2b(np.asarray(encoding.ids, dtype="<u4").tobytes(), digest_size=_KEY_BYTES)
            if unknown in encoding.ids:
                key.update(json.dumps(_unknown_words(tokenizer, asked, unknown)).encode())
            found[text] = key.digest()
    return found


def _unknown_words(tokenizer: Tokenizer, text: str, unknown: int | None) -> list[str]:
    encoding = tokenizer.encode(text)
    spans = zip(encoding.ids, encoding.offsets, strict=True)
    return [folded(text[start:end]) for token, (start, end) in spans if token == unknown]
