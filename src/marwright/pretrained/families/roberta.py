"""RoBERTa (Liu et al. 2019), XLM-RoBERTa and CamemBERT: BERT's layers with a head of their own."""

from __future__ import annotations

from dataclasses import replace

from marwright.pretrained.families.bert import BERT

ROBERTA = replace(
    BERT,
    model_types=("roberta", "xlm-roberta", "camembert"),
    embeddings="roberta.embeddings",
    layers="roberta.encoder.layer",
    head="classifier.dense",
    classifier="classifier.out_proj",
    behind_padding=True,
)
