"""Tiny tokenizers and randomly initialised classifiers: as exact as large ones, and there in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from marwright.encoder.bilstm import BiLstmConfig, BiLstmForSequenceClassification

VOCABULARY = 90
POSITIONS = 40


def tiny_tokenizer() -> Tokenizer:
    """One token for every word, most of them unknown, between [CLS] and [SEP]."""
    vocabulary = {token: index for index, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "of", "the", "and"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def letters_tokenizer() -> Tokenizer:
    """Reads English letter by letter, between [CLS] and [SEP]; small letters, digits and marks, and nothing else."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "of", "the", "and"]
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    names += characters + [f"##{character}" for character in characters]
    tokenizer = Tokenizer(models.WordPiece({name: index for index, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(names[:5])
    return tokenizer


def save_tiny_checkpoint(folder: Path, family: str = "bert", **settings: Any) -> Path:
    """Save a classifier of random weights with a tokenizer that reads English, and return its folder."""
    tokenizer = letters_tokenizer()
    save_tiny_classifier(folder, family, vocab_size=tokenizer.get_vocab_size(), **settings)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def save_tiny_classifier(folder: Path, family: str, **settings: Any) -> Path:
    """Save a classifier of random weights with five labels, as transformers would, and return its folder.

    Every tensor is random, the norms and biases too: what is one or zero by default would hide a mix-up.
    """
    torch.manual_seed(0)
    model = _model(family, settings).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.normal_(centre, 0.25)
    model.save_pretrained(folder)
    return folder


def _model(family: str, settings: dict[str, Any]) -> Any:
    common = {"vocab_size": VOCABULARY, "num_labels": 5, "pad_token_id": 0}
    if family == "bilstm":
        shape = {"embedding_size": 12, "hidden_size": 8, "dense_size": 10, "num_hidden_layers": 2}
        return BiLstmForSequenceClassification(BiLstmConfig(**common | shape | settings))
    if family == "distilbert":
        shape = {"dim": 16, "n_layers": 3, "n_heads": 4, "hidden_dim": 40, "max_position_embeddings": POSITIONS}
        return DistilBertForSequenceClassification(DistilBertConfig(**common | shape | settings))
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
    if family == "roberta":
        # Its positions begin after the padding id.
        more = {
            "max_position_embeddings": POSITIONS + 2,
            "pad_token_id": 1,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        }
        return RobertaForSequenceClassification(RobertaConfig(**common | shape | more | settings))
    more = {"max_position_embeddings": POSITIONS}
    return BertForSequenceClassification(BertConfig(**common | shape | more | settings))
