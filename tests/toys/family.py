"""ERNIE (Sun et al. 2019): BERT's layers under another name."""

from __future__ import annotations

from dataclasses import replace

from marwright.pretrained.families.bert import BERT

TOY = replace(
    BERT,
    model_types=("ernie",),
    embeddings="ernie.embeddings",
    layers="ernie.encoder.layer",
    head="ernie.pooler.dense",
)
