"""DistilBERT (Sanh et al. 2019)."""

from __future__ import annotations

from marwright.pretrained.families.family import Family, LayerNames

DISTILBERT = Family(
    model_types=("distilbert",),
    embeddings="distilbert.embeddings",
    layers="distilbert.transformer.layer",
    names=LayerNames(
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        attention_norm="sa_layer_norm",
        up="ffn.lin1",
        down="ffn.lin2",
        output_norm="output_layer_norm",
    ),
    head="pre_classifier",
    classifier="classifier",
    head_activation="relu",
    has_token_types=False,
    intermediate="hidden_dim",
    activation="activation",
    norm_epsilon=None,
)
