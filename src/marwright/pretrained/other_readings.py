"""Where transformers reads texts otherwise than ``tokenizer.json`` says, by the settings that lie beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marwright.pretrained.checkpoints import quiet_transformers, resolve

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Capitals, accents, blanks, and what stands around a text.
_PROBES = ("Fresh APPLE", "crème brûlée", "two  blanks", "")


def other_reading(checkpoint: str, tokenizer: Tokenizer) -> str | None:
    """A sentence that shows both readings of a text; none if they are alike, or if transformers has none.

    The tokenizer is made from ``tokenizer.json``, which training and worker follow, and does not cut short texts.
    """
    from transformers import AutoTokenizer

    where = resolve(checkpoint)
    # Of a package the files are known, and without tokenizer.json transformers made the tokenizer.
    if checkpoint.startswith("packaged:") or not (Path(where) / "tokenizer.json").is_file():
        return None
    quiet_transformers()
    try:
        theirs = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
        readings = [(text, theirs.encode(text), tokenizer.encode(text).ids) for text in _PROBES]
    # Whatever keeps transformers from reading the files is no matter here.
    except Exception:
        return None
    for text, other, own in readings:
        if other != own:
            return (
                f"{checkpoint}: tokenizer.json reads {text!r} as {own}, and is followed; transformers reads {other}, "
                "by its tokenizer_config.json or class. If the model was trained so, save the tokenizer anew: "
                f"AutoTokenizer.from_pretrained({where!r}).save_pretrained({where!r})"
            )
    return None
