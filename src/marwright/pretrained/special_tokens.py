"""Makes the spellings of special tokens ordinary characters: what a customer types is text, whatever it looks like.

A tokenizer finds ``[SEP]`` or ``<pad>`` in a text in two ways. Its list of added tokens is searched before anything
else, and its model may have such a token among its pieces (Unigram and BPE do). Here the special ones are taken out of
the list, and a split is put before the model, so that it never sees such a spelling in one piece. All of it stands in
``tokenizer.json``: whoever loads the file, with whichever version, reads texts alike. What is put around a text is not
changed, since a template holds ids.

One spelling stays: a special token of a single character that a Unigram or BPE model has among its pieces cannot be
taken apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONVENTIONAL = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", "[EOS]"),
    *("<pad>", "<unk>", "<s>", "</s>", "<mask>", "<cls>", "<sep>", "<bos>", "<eos>"),
    *("<|endoftext|>", "<|padding|>"),
)
"""Names under which a vocabulary has special tokens, whether they are declared or not."""

SPELLED_OUT = "[SEP] <pad> </s> <mask> [PAD] [UNK]<s>[CLS] [MASK] <unk>"
"""A text of nothing else, to try a tokenizer with."""


def as_ordinary_text(tokenizer: Tokenizer, declared: Iterable[str] = ()) -> Tokenizer:
    """A tokenizer that gives the same ids, except to spellings of special tokens, which become ordinary characters.

    Args:
        tokenizer: truncation and padding are kept.
        declared: more names that are special, such as those of a ``special_tokens_map.json``.
    """
    from tokenizers import Tokenizer

    settings = json.loads(tokenizer.to_str())
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    added = settings["added_tokens"]
    special = {token["content"] for token in added if token["special"]}
    special |= {name for name in (*CONVENTIONAL, *declared) if name in vocabulary}
    special |= {name for name in _around_a_text(settings["post_processor"]) if name in vocabulary}
    settings["added_tokens"] = [token for token in added if token["content"] not in special]
    _keep_ids(
        settings["model"], {name: vocabulary[name] for name in {*special, *(token["content"] for token in added)}}
    )
    settings["pre_tokenizer"] = _split_before_model(settings["pre_tokenizer"], special)
    return Tokenizer.from_str(json.dumps(settings))


def _around_a_text(template: Any) -> set[str]:
    """Names of what a post-processor puts around a text."""
    if not isinstance(template, dict):
        return set()
    names = set(map(str, template.get("special_tokens", {})))
    names |= {str(template[end][0]) for end in ("sep", "cls") if isinstance(template.get(end), list)}
    for inner in template.get("processors", []):
        names |= _around_a_text(inner)
    return names


def _keep_ids(model: dict[str, Any], tokens: dict[str, int]) -> None:
    """Give added tokens a place in the model's vocabulary: one that has left the list would move those behind it."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        vocabulary.update(tokens)
        return
    # A Unigram model's ids are places in a list. The best score there is changes no other: unknown pieces are scored
    # by the worst.
    taken = {name for name, _ in vocabulary}
    names = {index: name for name, index in tokens.items() if name not in taken}
    best = max((score for _, score in vocabulary), default=0.0)
    for index in range(len(vocabulary), max(names, default=-1) + 1):
        vocabulary.append([names.get(index, f"<unused {index}>"), best])


def _split_before_model(pre_tokenizer: dict[str, Any] | None, special: set[str]) -> dict[str, Any] | None:
    """A pre-tokenizer that separates the first character of each such spelling from the rest, after all it did."""
    steps = [] if pre_tokenizer is None else [pre_tokenizer]
    if pre_tokenizer is not None and pre_tokenizer["type"] == "Sequence":
        steps = list(pre_tokenizer["pretokenizers"])
    # Every mark is a piece of its own after this one already.
    if not special or (steps and steps[-1]["type"] == "BertPreTokenizer" and all(map(_has_marks, special))):
        return pre_tokenizer
    beginnings = sorted(filter(None, map(_beginning, special)))
    # A tokenizer that was saved is loaded again: what it had declared does not tell any more, and is split already.
    if set(beginnings) <= {each for step in steps for each in _alternatives(step)}:
        return pre_tokenizer
    split = {"type": "Split", "pattern": {"Regex": "|".join(beginnings)}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [*steps, split]}


def _alternatives(step: dict[str, Any]) -> list[str]:
    """What a step splits off, if it may be one of ours."""
    pattern = step["pattern"].get("Regex", "") if step["type"] == "Split" and step["behavior"] == "Isolated" else ""
    return re.split(r"(?<!\\)\|", pattern)


def _has_marks(name: str) -> bool:
    return any(character.isascii() and not character.isalnum() for character in name) and len(name) > 1


def _beginning(name: str) -> str:
    """The first character of a spelling where the rest of it follows; as a whole word only, if it is one."""
    if len(name) < 2:
        return ""  # one character cannot be taken apart
    edge = r"\b" if name.replace("_", "a").isalnum() else ""
    return f"{edge}{re.escape(name[0])}(?={re.escape(name[1:])}{edge})"
