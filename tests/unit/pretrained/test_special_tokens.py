"""What a customer types is text: no spelling of a special token becomes one, in the build as in the worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from marwright.export.station import GOLDEN_REQUESTS, _golden_texts
from marwright.fleet.external import _tokenizer_settings
from marwright.pretrained.special_tokens import CONVENTIONAL, SPELLED_OUT, as_ordinary_text
from marwright.pretrained.tokenization import token_ids, unknown_id
from marwright.pretrained.tokenizer import load_tokenizer
from text_encoding import TextEncoder
from tiny_models import letters_tokenizer

FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>"]
CHARACTERS = [chr(code) for code in range(33, 127)]


def framed(tokenizer: Tokenizer, first: str, last: str) -> Tokenizer:
    ids = [(name, tokenizer.token_to_id(name)) for name in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=ids)
    return tokenizer


def byte_level() -> Tokenizer:
    """As RoBERTa's, with a mask that takes the blank before it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {name: index for index, name in enumerate([*FAIRSEQ, *alphabet, "<s", "<s>x"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("<", "s")], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*FAIRSEQ, AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def merging() -> Tokenizer:
    """A BPE whose merges lead to a special token, as they do when it has learnt from web pages."""
    vocabulary = {name: index for index, name in enumerate([*FAIRSEQ, *CHARACTERS, " ", "<s"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("<", "s"), ("<s", ">")], unk_token="<unk>"))
    tokenizer.add_special_tokens(FAIRSEQ)
    return framed(tokenizer, "<s>", "</s>")


def unigram() -> Tokenizer:
    """As XLM-R's: its pieces have the special ones among them; the mask and a word of a shop were added later."""
    pieces = [(name, 0.0) for name in FAIRSEQ] + [(name, -5.0) for name in ["▁", *CHARACTERS]]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([*FAIRSEQ, AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.add_tokens(["teabag"])
    return framed(tokenizer, "<s>", "</s>")


def word_level() -> Tokenizer:
    """Whole words between blanks; the special ones are in the vocabulary, and declared nowhere."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tea", "[", "SEP]"]
    tokenizer = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(","), "isolated")]
    )
    return framed(tokenizer, "[CLS]", "[SEP]")


KINDS = {each.__name__: each for each in (letters_tokenizer, byte_level, merging, unigram, word_level)}


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Tokenizer, Any]:
    """A tokenizer as it was published, as the build has it, and the worker's."""
    published = KINDS[request.param]()
    folder = tmp_path_factory.mktemp(request.param)
    published.save(str(folder / "tokenizer.json"))
    building = load_tokenizer(str(folder), 512)
    building.save(str(folder / "tokenizer.json"))
    return published, building, TextEncoder(folder)


def special_ids(tokenizer: Tokenizer) -> set[int]:
    """All but that of the unknown, for which any character may stand."""
    names = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    ids = {tokenizer.token_to_id(name) for name in {*names, *CONVENTIONAL} if tokenizer.token_to_id(name) is not None}
    return ids - {unknown_id(tokenizer)}


spellings = st.sampled_from([*CONVENTIONAL, "＜s＞", "[sep]", "tea", "teabag", " ", ",", "<s", ">", "x", "é", "<s>x"])
texts = st.lists(spellings | st.text(max_size=4), min_size=1, max_size=12).map("".join)


@settings(max_examples=60, deadline=None)
@given(text=texts)
def test_no_text_forges_a_special_token_and_the_worker_reads_what_the_build_read(
    pair: tuple[Tokenizer, Tokenizer, TextEncoder], text: str
) -> None:
    published, building, worker = pair
    text = text.encode("utf-8", "ignore").decode() or "x"
    (ids,) = token_ids(building, [text])
    around = published.encode("").ids

    inner = ids[len(around) // 2 : len(ids) - len(around) // 2]
    assert not special_ids(published) & set(inner), building.encode(text).tokens
    assert [ids[0], ids[-1]] == [around[0], around[-1]]
    assert worker.encode([text])[0][0].tolist() == ids


def test_today_s_tokenizers_would_be_fooled(pair: tuple[Tokenizer, Tokenizer, TextEncoder]) -> None:
    published, building, _ = pair
    text = "tea [SEP] <s> <pad>"

    assert special_ids(published) & set(published.encode(text).ids[1:-1])
    assert not special_ids(published) & set(building.encode(text).ids[1:-1])


def test_all_ids_stay_and_so_do_words_that_were_added(pair: tuple[Tokenizer, Tokenizer, TextEncoder]) -> None:
    published, building, _ = pair

    assert building.get_vocab() == published.get_vocab()
    for text in ("tea", "of the tea, and", "teabag tea", "caf\u00e9 \U0001f600"):
        assert building.encode(text).ids == published.encode(text).ids


def test_it_can_be_done_again(pair: tuple[Tokenizer, Tokenizer, TextEncoder]) -> None:
    _, building, _ = pair

    assert as_ordinary_text(building).to_str() == building.to_str()


def test_names_that_only_the_files_beside_it_declare_are_special(tmp_path: Path) -> None:
    tokenizer = word_level()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "tea"}}), encoding="utf-8")

    assert "tea" not in load_tokenizer(str(tmp_path), 32).encode("tea").tokens


def test_other_servers_are_told_so_too(tmp_path: Path) -> None:
    letters_tokenizer().save(str(tmp_path / "tokenizer.json"))

    told, _ = _tokenizer_settings(tmp_path / "tokenizer.json")

    assert told["split_special_tokens"] is True


def test_a_text_of_which_nothing_is_left_still_has_a_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    assert token_ids(tokenizer, ["\U0001f600", "a"]) == [[0], [0]]
    ids, mask = TextEncoder(tmp_path).encode(["\U0001f600", "aa"])
    assert ids.tolist() == [[0, 0], [0, 0]]
    assert mask.tolist() == [[1, 0], [1, 1]]


def test_a_worker_counts_what_its_vocabulary_does_not_have(tmp_path: Path) -> None:
    letters_tokenizer().save(str(tmp_path / "tokenizer.json"))
    encoder = TextEncoder(tmp_path)

    encoder.encode(["tea", "ሁለት tea ሙዝ"])

    assert encoder.take_unknown_tokens() == 2
    assert encoder.take_unknown_tokens() == 0


def test_the_text_to_try_with_has_the_spellings_of_both_traditions() -> None:
    assert all(name in SPELLED_OUT for name in ("[PAD]", "[SEP]", "[MASK]", "<pad>", "</s>", "<mask>"))


@pytest.mark.parametrize("rows", [1, 2, GOLDEN_REQUESTS, 500])
def test_one_golden_request_has_them_for_every_server_to_answer(rows: int) -> None:
    asked = _golden_texts([f"text {at}" for at in range(rows)])

    assert len(asked) == min(rows, GOLDEN_REQUESTS)
    assert [SPELLED_OUT in text for text in asked] == [False] * (len(asked) - 1) + [True]


def test_a_saved_tokenizer_is_the_same_when_it_is_loaded_again(tmp_path: Path) -> None:
    """Also where special tokens were declared that nothing in the saved file declares any more."""
    tokenizer = merging()
    tokenizer.add_special_tokens(["<|shop|>", "a|b", "<sp"])
    once = as_ordinary_text(tokenizer, {"~own~"})
    once.save(str(tmp_path / "tokenizer.json"))
    again = load_tokenizer(str(tmp_path), 512)

    assert json.loads(again.to_str())["pre_tokenizer"] == json.loads(once.to_str())["pre_tokenizer"]
    assert as_ordinary_text(again, {"~own~", "<s>"}).to_str() == again.to_str()
