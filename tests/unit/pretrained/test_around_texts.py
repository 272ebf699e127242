"""What a tokenizer puts around texts, what it does not know, and what transformers reads otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoTokenizer

from marwright.errors import CheckpointError
from marwright.pretrained.around_texts import check_around
from marwright.pretrained.encoder_facts import facts_of
from marwright.pretrained.other_readings import other_reading
from marwright.pretrained.special_tokens import as_ordinary_text
from marwright.pretrained.tokenizer import load_tokenizer
from tiny_models import letters_tokenizer, save_tiny_checkpoint


def rewrite(file: Path, **settings: Any) -> None:
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    file.write_text(json.dumps(found | settings), encoding="utf-8")


def checked(tokenizer: Tokenizer, family: str = "bert", **settings: Any) -> None:
    settings = {"vocab_size": tokenizer.get_vocab_size()} | settings
    check_around(facts_of(AutoConfig.for_model(family, **settings)), tokenizer, "it")


@pytest.mark.parametrize(
    "processor",
    [
        processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 30522)]),
        processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 3), ("[SEP]", 2)]),
        processors.TemplateProcessing(single="[GO] $A", special_tokens=[("[GO]", 30522)]),
        processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101)),
        processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 9)),
    ],
    ids=str,
)
def test_ids_of_another_vocabulary_around_texts(processor: Any) -> None:
    tokenizer = letters_tokenizer()
    checked(tokenizer)
    tokenizer.post_processor = processor

    with pytest.raises(CheckpointError, match=r"puts \[\w+\] around texts as \d+"):
        checked(tokenizer)


def byte_tokenizer(*specials: str) -> Tokenizer:
    """As RoBERTa's, once it is loaded: bytes, between <s> and </s>."""
    names = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({name: index for index, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(specials))
    ends = [(name, specials.index(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return as_ordinary_text(tokenizer)


USUAL = ("<s>", "<pad>", "</s>", "<unk>")


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert"])
@pytest.mark.parametrize(
    ("specials", "padding", "wanted"),
    [
        (USUAL, 2, 1),  # the end of a text
        (("<pad>", "<s>", "</s>"), 1, 0),  # the default, in another order
        (USUAL, 70, 1),  # a letter
        (USUAL, None, 1),
    ],
)
def test_places_are_counted_from_an_id_that_no_text_has(
    family: str, specials: tuple[str, ...], padding: int | None, wanted: int
) -> None:
    tokenizer = byte_tokenizer(*specials)

    with pytest.raises(CheckpointError, match=rf"pad_token_id.*Set it to {wanted}, which is <pad>"):
        checked(tokenizer, family, pad_token_id=padding)

    checked(tokenizer, family, pad_token_id=wanted)


def test_other_families_pad_as_they_like() -> None:
    checked(letters_tokenizer(), pad_token_id=3)
    checked(letters_tokenizer(), pad_token_id=None)
    checked(byte_tokenizer(*USUAL), "mpnet", pad_token_id=2)
    with pytest.raises(CheckpointError, match="no pad_token_id"):
        checked(byte_tokenizer(*USUAL), "mpnet", pad_token_id=None)


# --- what no vocabulary has --------------------------------------------------------------------------------------

WORDS = ["[PAD]", "[CLS]", "[SEP]", *map(chr, range(33, 127))]
UNIGRAM = [(word, -1.0) for word in WORDS]
GIVES_UP: dict[str, Callable[[], Any]] = {
    "WordPiece": lambda: models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"),
    "WordLevel": lambda: models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"),
    "Unigram": lambda: models.Unigram(UNIGRAM, None, False),
}


@pytest.mark.parametrize("model", GIVES_UP)
def test_a_tokenizer_needs_a_token_for_what_it_does_not_know(model: str, tmp_path: Path) -> None:
    """Also where it knows every character of the table: requests have others."""
    tokenizer = Tokenizer(GIVES_UP[model]())
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    with pytest.raises(CheckpointError, match=r"cannot read every text.*unk_token or unk_id"):
        load_tokenizer(str(tmp_path), 32)

    settings = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    named = {"unk_id": 0} if model == "Unigram" else {"unk_token": "[PAD]"}
    rewrite(tmp_path / "tokenizer.json", model=settings["model"] | named)
    assert load_tokenizer(str(tmp_path), 32).encode("\N{SNOWMAN}").ids == [0]


def test_a_bpe_that_drops_what_it_does_not_know_is_read(tmp_path: Path) -> None:
    Tokenizer(models.BPE({"a": 0, "b": 1}, [])).save(str(tmp_path / "tokenizer.json"))

    assert load_tokenizer(str(tmp_path), 32).encode("\N{SNOWMAN}ab").ids == [0, 1]


# --- what transformers reads -------------------------------------------------------------------------------------


def not_lowering(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)


def without_ends(tokenizer: Tokenizer) -> None:
    tokenizer.post_processor = processors.Sequence([])


@pytest.mark.parametrize("change", [not_lowering, without_ends])
def test_another_reading_by_transformers_is_told(change: Callable[[Tokenizer], None], tmp_path: Path) -> None:
    folder = save_tiny_checkpoint(tmp_path / "checkpoint")
    rewrite(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", do_lower_case=True)
    assert other_reading(str(folder), load_tokenizer(str(folder), 512)) is None
    tokenizer = letters_tokenizer()
    change(tokenizer)
    tokenizer.save(str(folder / "tokenizer.json"))

    told = other_reading(str(folder), load_tokenizer(str(folder), 512))

    assert told is not None
    assert "'Fresh APPLE'" in told
    theirs = AutoTokenizer.from_pretrained(folder)
    assert str(theirs.encode("Fresh APPLE")) in told
    theirs.save_pretrained(folder)
    assert other_reading(str(folder), load_tokenizer(str(folder), 512)) is None


def test_files_that_transformers_cannot_read_are_no_other_reading(tmp_path: Path) -> None:
    letters_tokenizer().save(str(tmp_path / "tokenizer.json"))
    rewrite(tmp_path / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer")

    assert other_reading(str(tmp_path), load_tokenizer(str(tmp_path), 512)) is None
