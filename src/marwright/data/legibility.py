"""How much of the texts a tokenizer can read: what it has no token for, what it drops, what it takes to pieces."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from marwright.console.progress import say
from marwright.errors import DataError
from marwright.pretrained.other_readings import other_reading
from marwright.pretrained.tokenization import unknown_id

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# Enough texts for a share; a table of millions would take minutes.
MOST_TEXTS = 20_000
# Of each text; a share of a long one is as good, and each character takes its time.
MOST_CHARACTERS = 2_000
_BATCH = 1024
# Above this share of what is lost the user is warned, and above the second one the data are refused.
WORTH_A_WARNING = 0.03
# English texts have a hundredth of their characters in such pieces with the default encoder.
MANY_PIECES = 0.3
TOO_MUCH = 0.5
# Zero-width joiners, directions of writing, variants of emoji: nobody misses them.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
MULTILINGUAL = "intfloat/multilingual-e5-small"


def legibility(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, float]:
    """What a tokenizer, which does not cut, makes of the beginnings of up to :data:`MOST_TEXTS` texts of the table.

    Returns:
        four shares between 0 and 1: ``unknown`` of the tokens stand for what has no token; ``lost`` of the visible
        characters, with accents counted as characters, stand in no token or in an unknown one; ``in_pieces`` of the
        characters take several tokens each, or are spelt out letter by letter; of ``unread`` texts nothing is left.
    """
    unknown = unknown_id(tokenizer)
    texts = texts[:: -(-len(texts) // MOST_TEXTS) or 1]
    tokens = unknown_tokens = characters = lost = in_pieces = unread = 0
    for text, encoding in _encoded(tokenizer, texts):
        kept = Counter[int]()
        nameless: set[int] = set()
        alone: set[int] = set()
        for token, is_special, (start, end) in zip(
            encoding.ids, encoding.special_tokens_mask, encoding.offsets, strict=True
        ):
            if is_special:
                continue
            tokens += 1
            if token == unknown:
                unknown_tokens += 1
                nameless.update(range(start, end))
                continue
            if end - start == 1 and _is_spelt_out(text, start):
                alone.add(start)
            kept.update(range(start, end))
        visible = [at for at, character in enumerate(text) if _is_visible(character)]
        whole = _parts_of(text)
        # What a normalizer drops keeps no place of its own: an accent goes, and its letter stands for both.
        normalized = text if tokenizer.normalizer is None else str(tokenizer.normalizer.normalize_str(text))
        gone = max(0, whole - _parts_of(normalized))
        uncovered = sum(_parts(text[at]) for at in visible if at not in kept and at not in nameless)
        nameless_parts = sum(_parts(text[at]) for at in visible if at in nameless and at not in kept)
        characters += whole
        missing = min(whole, max(gone, uncovered) + nameless_parts)
        lost += missing
        in_pieces += sum(kept[at] > 1 or at in alone for at in visible)
        unread += missing == whole
    return {
        "unknown": _share(unknown_tokens, tokens),
        "lost": _share(lost, characters),
        "in_pieces": _share(in_pieces, characters),
        "unread": _share(unread, len(texts)),
    }


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[tuple[str, Encoding]]:
    for start in range(0, len(texts), _BATCH):
        batch = [text[:MOST_CHARACTERS] for text in texts[start : start + _BATCH]]
        yield from zip(batch, tokenizer.encode_batch(batch), strict=True)


def _is_spelt_out(text: str, at: int) -> bool:
    """Whether a letter with a token of its own is only a part of a word; an ideograph is a word by itself."""
    letter = text[at]
    if not letter.isalpha() or unicodedata.east_asian_width(letter) in ("W", "F"):
        return False
    return text[at - 1 : at].isalpha() or text[at + 1 : at + 2].isalpha()


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in _INVISIBLE and not "\ufe00" <= character <= "\ufe0f"


def _parts(character: str) -> int:
    """A letter and its accents."""
    return 1 if character.isascii() else len(unicodedata.normalize("NFD", character))


def _parts_of(text: str) -> int:
    return sum(map(_is_visible, text)) if text.isascii() else sum(_parts(each) for each in text if _is_visible(each))


def loss(found: Mapping[str, float]) -> float:
    """The share of the texts that the encoder never sees, by tokens or by characters."""
    return max(found["unknown"], found["lost"], found["unread"])


def remarks(found: Mapping[str, float], checkpoint: str) -> list[str]:
    """What a user should know before training."""
    said = []
    if loss(found) > WORTH_A_WARNING:
        said.append(
            f"warning: {checkpoint} cannot read all of the texts: {found['unknown']:.1%} of the tokens are unknown to "
            f"it, {found['lost']:.1%} of the characters are lost (accents among them)"
            + (f", and nothing is left of {found['unread']:.1%} of the texts" if found["unread"] else "")
            + f". An encoder for their language reads more, {MULTILINGUAL} for one"
        )
    if found["in_pieces"] > MANY_PIECES:
        said.append(
            f"warning: {checkpoint} takes {found['in_pieces']:.1%} of the characters to pieces, into bytes or single "
            "letters: it has hardly seen their language. An encoder for their language learns more from them, "
            f"{MULTILINGUAL} for one"
        )
    return said


def tell_legibility(found: Mapping[str, float], checkpoint: str, tokenizer: Tokenizer) -> None:
    """Tell the user what the encoder cannot read of the texts, and where transformers reads texts otherwise."""
    for remark in (*remarks(found, checkpoint), other_reading(checkpoint, tokenizer)):
        if remark is not None:
            say(f"  {remark}")


def check_legibility(found: Mapping[str, float], checkpoint: str) -> None:
    """Refuse texts most of which the encoder cannot read.

    Raises:
        DataError: more than half of the tokens or characters are lost.
    """
    if loss(found) > TOO_MUCH:
        raise DataError(
            f"{checkpoint} cannot read these texts: {found['unknown']:.1%} of their tokens are unknown to it, and "
            f"{found['lost']:.1%} of their characters are lost. Name an encoder for their language, such as "
            f"teacher.checkpoint: {MULTILINGUAL}; or write data.unknown_tokens: allow if you mean it."
        )
