"""Altered copies of texts: whole words hidden or cut, special tokens kept, nothing twice."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from marwright.config import AugmentationConfig
from marwright.errors import TrainingError
from marwright.training.augmentation import LONGEST_PHRASE, altered, mask_id

CLS, SEP, MASK = 1, 2, 3
TEXTS = ["card payment declined abroad", "top", "why was my card payment declined abroad today"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Word pieces: ``payment`` and ``declined`` are two each."""
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "card", "pay", "##ment", "decl", "##ined", "abroad", "top"]
    pieces += ["why", "was", "my", "today"]
    made = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    return made


def copies(tokenizer: Tokenizer, **settings: float) -> tuple[list[list[int]], list[int]]:
    config = AugmentationConfig.model_validate(settings)
    rows, origins = altered(tokenizer.encode_batch(TEXTS), config, mask_id(tokenizer), seed=0)
    return rows, origins.tolist()


def test_copies_keep_the_special_tokens_and_the_order_of_words(tokenizer: Tokenizer) -> None:
    rows, origins = copies(tokenizer, copies=50, mask=0.3, ngram=0.5)

    assert {0, 2} <= set(origins)
    for row, origin in zip(rows, origins, strict=True):
        assert (row[0], row[-1]) == (CLS, SEP)
        rest = iter(tokenizer.encode(TEXTS[origin]).ids[1:-1])
        assert all(any(token in (own, MASK) for own in rest) for token in row[1:-1])


def test_a_word_is_hidden_or_cut_with_all_its_pieces(tokenizer: Tokenizer) -> None:
    rows, _ = copies(tokenizer, copies=50, mask=0.3, ngram=0.5)
    head, tail = tokenizer.token_to_id("pay"), tokenizer.token_to_id("##ment")

    assert any(head in row for row in rows)
    assert any(MASK in row for row in rows)
    for row in rows:
        assert [at + 1 for at, token in enumerate(row) if token == head] == [
            at for at, token in enumerate(row) if token == tail
        ]


def test_no_copy_is_a_text_or_another_copy(tokenizer: Tokenizer) -> None:
    rows, _ = copies(tokenizer, copies=100, mask=0.2, ngram=0.3)
    known = [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)]

    assert len({tuple(row) for row in rows}) == len(rows)
    assert not any(row in known for row in rows)


def test_phrases_have_one_to_five_words(tokenizer: Tokenizer) -> None:
    rows, origins = copies(tokenizer, copies=100, mask=0.0, ngram=1.0)
    heads = {token for piece, token in tokenizer.get_vocab().items() if not piece.startswith("##")} - {CLS, SEP}
    lengths = {sum(token in heads for token in row) for row, origin in zip(rows, origins, strict=True) if origin == 2}

    assert lengths == set(range(1, LONGEST_PHRASE + 1))


def test_one_seed_gives_the_same_copies(tokenizer: Tokenizer) -> None:
    encodings = tokenizer.encode_batch(TEXTS)
    config = AugmentationConfig(copies=5)

    first, again, other = (altered(encodings, config, MASK, seed)[0] for seed in (1, 1, 2))
    assert first == again != other


def test_a_tokenizer_that_hides_no_words_is_named() -> None:
    with pytest.raises(TrainingError, match="MASK"):
        mask_id(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
