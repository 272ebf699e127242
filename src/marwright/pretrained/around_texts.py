"""What a tokenizer puts around every text, and whether the model means the same by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marwright.errors import CheckpointError
from marwright.pretrained.tokenization import pad_id

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from marwright.pretrained.encoder_facts import EncoderFacts


def check_around(facts: EncoderFacts, tokenizer: Tokenizer, checkpoint: str) -> None:
    """Refuse a tokenizer that puts other tokens around a text than it says, or than the model has.

    Raises:
        CheckpointError: an id is not that of its token or has no embedding, or a padding id stands in texts.
    """
    around = tokenizer.encode("")
    for token, index in zip(around.tokens, around.ids, strict=True):
        own = tokenizer.token_to_id(token)
        if (own is not None and own != index) or (facts.vocabulary is not None and index >= facts.vocabulary):
            why = "which has no embedding" if own in (None, index) else f"but in its vocabulary that is {own}"
            raise CheckpointError(
                f"{checkpoint}: its tokenizer puts {token} around texts as {index}, {why}. Correct the ids of the "
                "post_processor in tokenizer.json, or put the tokenizer there that the model was trained with."
            )
    if facts.behind_padding:
        _check_padding(facts, tokenizer, checkpoint)


def _check_padding(facts: EncoderFacts, tokenizer: Tokenizer, checkpoint: str) -> None:
    """Of a family that counts positions from its padding id on: transformers does not count such tokens."""
    if facts.padding is None:
        why = f"config.json has no pad_token_id, and a {facts.family} counts its positions from it on"
    elif facts.scripted and _stands_in_texts(tokenizer, facts.padding):
        why = (
            f"pad_token_id in config.json is {facts.padding}, but {tokenizer.id_to_token(facts.padding)} stands in "
            f"texts, and a {facts.family} does not count the places of padding"
        )
    else:
        return
    filler = pad_id(tokenizer)
    cure = f"Set it to {filler}, which is {tokenizer.id_to_token(filler)}"
    if filler == facts.padding or _stands_in_texts(tokenizer, filler):
        cure = "Put the tokenizer there that the model was trained with"
    raise CheckpointError(f"{checkpoint}: {why}. {cure}.")


def _stands_in_texts(tokenizer: Tokenizer, index: int) -> bool:
    """Whether a token is put around texts, or can be written in one."""
    if index < 0:
        return False
    texts = ("", tokenizer.id_to_token(index) or "", tokenizer.decode([index], skip_special_tokens=False))
    return any(index in tokenizer.encode(text).ids for text in texts)
