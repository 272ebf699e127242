"""How much of the texts the encoder can read is counted, warned of and refused."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from marwright.config import Config
from marwright.data.legibility import check_legibility, legibility, loss, remarks
from marwright.errors import DataError
from marwright.files import read_json
from marwright.pretrained.tokenization import token_counts
from marwright.road.pipeline import build
from marwright.workspace import Run
from tiny_models import letters_tokenizer, save_tiny_checkpoint

AMHARIC = ["ሁለት ሙዝ አዲስ", "ትንሽ ቀይ ጫማ"]


def found(tokenizer: Tokenizer, *texts: str) -> dict[str, float]:
    return legibility(tokenizer, texts)


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE({each: at for at, each in enumerate(pre_tokenizers.ByteLevel.alphabet())}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def words(*names: str) -> Tokenizer:
    """Reads these words and drops what it does not know."""
    tokenizer = Tokenizer(models.BPE({each: at for at, each in enumerate({*"".join(names)})}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def test_english_is_read_to_the_last_character() -> None:
    measured = found(letters_tokenizer(), "Herbal tea, 3 bottles (fresh)!", "A small knife")

    assert (measured["unknown"], measured["lost"], measured["unread"]) == (0, 0, 0)
    assert loss(measured) == 0


def test_a_script_that_no_token_has() -> None:
    measured = found(letters_tokenizer(), *AMHARIC)

    assert (measured["unknown"], measured["lost"], measured["unread"]) == (1, 1, 1)
    with pytest.raises(DataError, match=r"it cannot read these texts: 100\.0% of their tokens.*multilingual-e5-small"):
        check_legibility(measured, "it")


def test_one_unknown_token_may_stand_for_a_long_word() -> None:
    measured = found(letters_tokenizer(), "a b c d ሁለትሙዝአዲስትንሽ")

    assert measured["unknown"] == 0.2
    assert measured["lost"] > 0.7
    with pytest.raises(DataError):
        check_legibility(measured, "it")


def test_characters_that_are_dropped_without_a_token_are_lost() -> None:
    measured = found(words("tea"), "tea 緑茶緑茶緑茶")

    assert measured["unknown"] == 0
    assert measured["lost"] == round(6 / 9, 4)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_that_a_normalizer_strips_are_lost(form: str) -> None:
    tokenizer = letters_tokenizer()
    text = unicodedata.normalize(form, "trà thảo mộc với chanh tươi")

    measured = found(tokenizer, text)

    assert measured["unknown"] == 0
    assert 0.15 < measured["lost"] < 0.4
    (remark,) = [each for each in remarks(measured, "it") if "lost" in each]
    assert remark.startswith("warning: it cannot read all of the texts")


def test_vowel_signs_that_a_normalizer_strips_are_lost() -> None:
    tokenizer = words("हनद")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])

    assert 0.3 < found(tokenizer, "हिन्दी")["lost"] < 0.7


def test_bytes_are_no_reading_though_nothing_is_unknown() -> None:
    measured = found(byte_level(), *AMHARIC)

    assert loss(measured) == 0
    assert measured["in_pieces"] == 1
    (remark,) = remarks(measured, "it")
    assert "takes 100.0% of the characters to pieces" in remark
    check_legibility(measured, "it")


@pytest.mark.parametrize("text", ["\U0001f600\U0001f389", "\u200b", "\ufe0f\u200d"])
def test_texts_of_which_nothing_is_left(text: str) -> None:
    measured = found(words("tea"), text, text, "tea")

    assert measured["unread"] == round(2 / 3, 4)
    with pytest.raises(DataError):
        check_legibility(measured, "it")


def test_few_foreign_words_are_no_matter() -> None:
    measured = found(letters_tokenizer(), *["a cup of herbal tea with lemon"] * 60, AMHARIC[0])

    assert not [each for each in remarks(measured, "it") if "lost" in each]


@given(texts=st.lists(st.text(max_size=20), max_size=5))
def test_shares_are_shares_whatever_the_texts(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    for tokenizer in (letters_tokenizer(), byte_level(), words("tea")):
        assert all(0 <= share <= 1 for share in found(tokenizer, *texts).values())


def table(folder: Path, texts: list[str]) -> Config:
    file = folder / "table.csv"
    file.write_text("text,label\n" + "".join(f"{text} {i},{'ab'[i % 2]}\n" for i, text in enumerate(texts)), "utf-8")
    return Config.model_validate(
        {
            "name": "drinks",
            "runs": str(folder / "runs"),
            "data": {"source": {"name": "table", "path": str(file)}},
            "teacher": {"checkpoint": str(save_tiny_checkpoint(folder / "checkpoint")), "max_length": 32},
            "student": "none",
        }
    )


def test_a_table_in_an_unknown_script_ends_at_data(tmp_path: Path) -> None:
    config = table(tmp_path, AMHARIC * 30)

    with pytest.raises(DataError, match=r"cannot read these texts.*data.unknown_tokens: allow"):
        build(config, until="data")

    assert not Run(config.runs / "drinks").data.root.exists()
    allowed = config.model_copy(update={"data": config.data.model_copy(update={"unknown_tokens": "allow"})})
    build(allowed, until="data")
    assert read_json(Run(config.runs / "drinks").data.card)["legibility"]["unknown"] > 0.5


def test_a_table_in_english_says_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = table(tmp_path, ["a cup of tea", "the knife"] * 30)

    build(config, until="data")

    assert "lost" not in capsys.readouterr().err
    assert loss(read_json(Run(config.runs / "drinks").data.card)["legibility"]) == 0


def test_of_a_long_text_its_beginning_is_looked_at() -> None:
    text = "a small knife " * 200_000 + AMHARIC[0] * 2_000_000
    began = time.process_time()

    assert found(letters_tokenizer(), text)["lost"] == 0
    assert time.process_time() - began < 5


def test_tokens_are_counted_as_they_would_be_alone() -> None:
    tokenizer = letters_tokenizer()
    texts = [f"a small knife {at}" * (at % 3) for at in range(2100)]

    assert token_counts(tokenizer, texts) == [len(tokenizer.encode(text).ids) for text in texts]
    assert token_counts(tokenizer, []) == []
