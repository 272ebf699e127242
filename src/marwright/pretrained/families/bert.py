"""BERT (Devlin et al. 2018)."""

from __future__ import annotations

from marwright.pretrained.families.family import Family, LayerNames

BERT = Family(
    model_types=("bert",),
    embeddings="bert.embeddings",
    layers="bert.encoder.layer",
    names=LayerNames(
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        attention_output="attention.output.dense",
        attention_norm="attention.output.LayerNorm",
        up="intermediate.dense",
        down="output.dense",
        output_norm="output.LayerNorm",
    ),
    head="bert.pooler.dense",
    classifier="classifier",
)
