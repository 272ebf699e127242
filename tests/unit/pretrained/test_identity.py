"""Two texts are one where the model sees the same of both, and unknown words are not all one word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from marwright.pretrained.identity import folded, identities
from marwright.pretrained.tokenization import unknown_id
from tiny_models import tiny_tokenizer


def unigram() -> Tokenizer:
    """Pieces with probabilities, as T5 and XLM-RoBERTa have them."""
    tokenizer = Tokenizer(models.Unigram([("<s>", 0.0), ("<unk>", -9.0), ("▁tea", -1.0), ("▁", -2.0)], unk_id=1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def byte_level() -> Tokenizer:
    """Every byte has a token, and so do blanks, as in RoBERTa."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({symbol: at for at, symbol in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def are_one(one: str, other: str, tokenizer: Tokenizer | None = None) -> bool:
    keys = identities(tokenizer or tiny_tokenizer(), [one, other])
    return keys[one] == keys[other]


@pytest.mark.parametrize(
    "twin", ["OF THE tea", "of  the\ttea", " of the tea\n", "of\u00a0the\u2003tea", "of the\r\ntea", "óf thé tea"]
)
def test_what_the_tokenizer_does_not_see_makes_no_difference(twin: str) -> None:
    assert are_one("of the tea", twin)
    assert not are_one("of the tea", f"{twin} of")


def test_texts_that_differ_after_the_cut_are_one() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.enable_truncation(6)

    assert are_one("of the and of tea", "of the and of wool", tokenizer)
    assert not are_one("of the tea and of", "of the wool and of", tokenizer)


@pytest.mark.parametrize("tokenizer", [tiny_tokenizer(), unigram()], ids=["words", "pieces"])
def test_unknown_words_are_told_apart_by_their_characters(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("ሻይ").ids == tokenizer.encode("ቡና").ids
    assert not are_one("ሻይ", "ቡና", tokenizer)
    assert are_one("ሻይ ቡና", "ሻይ\n ቡና ", tokenizer)
    assert are_one("ÇAY", "çay", tokenizer)


def test_where_the_unknown_token_is_found() -> None:
    assert unknown_id(tiny_tokenizer()) == 1
    assert unknown_id(unigram()) == 1
    assert unknown_id(byte_level()) is None


def test_blanks_make_no_difference_to_a_tokenizer_that_keeps_them() -> None:
    assert are_one("green tea", " green \n tea", byte_level())
    # It sees capitals, and so does its model.
    assert not are_one("green tea", "GREEN TEA", byte_level())


WORDS = st.text(alphabet=st.sampled_from("ofthe OFTHE\n\t ሻይቡé.☕"), max_size=12)


@given(WORDS, WORDS)
def test_one_text_is_one_row_of_token_ids_with_the_same_unknown_words(one: str, other: str) -> None:
    tokenizer = tiny_tokenizer()
    encodings = [tokenizer.encode(text) for text in (one, other)]
    same_ids = encodings[0].ids == encodings[1].ids
    if are_one(one, other):
        assert same_ids
    elif same_ids:
        assert 1 in encodings[0].ids
        assert folded(one) != folded(other)


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert folded(text.replace(" ", " \n")) == folded(text)
