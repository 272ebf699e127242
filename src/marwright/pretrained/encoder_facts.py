"""What a checkpoint can be: the one place that knows families of encoders and what each allows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from marwright.errors import CheckpointError, TrainingError
from marwright.pretrained.checkpoint_errors import loading
from marwright.pretrained.checkpoints import quiet_transformers, resolve
from marwright.pretrained.config_file import check_settings
from marwright.pretrained.families import FAMILIES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["encoder", "decoder", "encoder-decoder"]

_BEHIND_PADDING = frozenset(
    {
        *(name for name, family in FAMILIES.items() if family.behind_padding),
        *("xlm-roberta-xl", "roberta-prelayernorm", "xmod", "data2vec-text", "longformer", "mpnet", "ibert", "esm"),
        *("luke", "mluke", "lilt", "layoutlmv3", "mra"),
    }
)
"""Families whose positions begin after the padding id, of ours and of those that are traced."""


@dataclass(frozen=True)
class EncoderFacts:
    """What a configuration of transformers says about a model, before any weight is read."""

    family: str
    kind: Kind
    classifies: bool
    """Whether transformers has a sequence classifier of the family."""
    plain: bool
    """Whether it computes what marwright's own encoder computes: exact GELU, absolute positions, no decoder."""
    layers: int | None
    positions: int | None
    """The most tokens it reads; none if there is no limit."""
    vocabulary: int | None
    """Rows of its word embeddings."""
    padding: int | None
    """The id that fills short rows."""

    @property
    def scripted(self) -> bool:
        """Whether marwright's own encoder can take its weights over, and leave heads and neurons out."""
        return self.family in FAMILIES and self.plain

    @property
    def behind_padding(self) -> bool:
        """Whether positions begin after the padding id."""
        return self.family in _BEHIND_PADDING

    @property
    def in_words(self) -> str:
        """The family, and what keeps it from being computed by marwright's own encoder if it is one of those."""
        return (
            f"{self.family} without GELU and absolute positions"
            if self.family in FAMILIES and not self.plain
            else self.family
        )


def facts_of(config: Any) -> EncoderFacts:
    """The facts of a configuration object of transformers."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

    family = str(config.model_type)
    activation = _of(config, FAMILIES[family].activation if family in FAMILIES else "hidden_act")
    position = _of(config, "position_embedding_type") or "absolute"
    return EncoderFacts(
        family=family,
        kind=_kind(config),
        classifies=family in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        plain=activation == "gelu" and position == "absolute" and not _of(config, "is_decoder"),
        layers=_of(config, "num_hidden_layers"),
        positions=_positions(config, family),
        vocabulary=_of(config, "vocab_size"),
        padding=_of(config, "pad_token_id"),
    )


def read_facts(checkpoint: str) -> EncoderFacts:
    """The facts of a checkpoint that a configuration file names.

    Raises:
        CheckpointError: it cannot be found, is no model of transformers, or no model that can be trained.
    """
    from transformers import AutoConfig

    where = resolve(checkpoint)
    quiet_transformers()
    with loading(checkpoint, where):
        config = AutoConfig.from_pretrained(where, trust_remote_code=False)
        check_settings(config, checkpoint)
    if _of(config, "is_decoder"):
        config.is_decoder = False  # a leftover, which is forgotten when it is loaded
    return facts_of(config)


def check_kind(facts: EncoderFacts, checkpoint: str) -> None:
    """Refuse what is no encoder that can classify.

    Raises:
        CheckpointError: it was made for writing, or transformers has no classifier of its family.
    """
    if facts.kind != "encoder":
        raise CheckpointError(
            f"{checkpoint}: {facts.family} is a{'n' if facts.kind[0] == 'e' else ''} {facts.kind}, made for writing: "
            "where it classifies it reads one token whose place depends on the padding. Take an encoder, such as BERT, "
            "RoBERTa, DeBERTa or ModernBERT."
        )
    if not facts.classifies:
        raise CheckpointError(f"{checkpoint}: transformers has no sequence classifier of the family {facts.family}")


def check_positions(facts: EncoderFacts, max_length: int, checkpoint: str) -> None:
    """Refuse a length that a model has no positions for.

    Raises:
        TrainingError: it has fewer.
    """
    if facts.positions is not None and max_length > facts.positions:
        raise TrainingError(
            f"teacher.max_length: {checkpoint} reads {facts.positions} tokens at most, not {max_length}"
        )


def check_vocabulary(facts: EncoderFacts, tokenizer: Tokenizer, checkpoint: str) -> None:
    """Refuse a tokenizer that is not the model's own.

    Raises:
        CheckpointError: it has ids for which the model has no embedding.
    """
    ids = max(tokenizer.get_vocab().values(), default=-1) + 1
    if facts.vocabulary is not None and ids > facts.vocabulary:
        raise CheckpointError(
            f"{checkpoint}: its tokenizer has {ids:,} tokens and its model embeddings for {facts.vocabulary:,}; "
            "they do not belong together. Put the tokenizer there that the model was trained with."
        )


def check_layers(facts: EncoderFacts, chosen: Sequence[int]) -> None:
    """Refuse layers that a teacher does not have.

    Raises:
        TrainingError: it has no such layers.
    """
    if facts.layers is None:
        return
    wrong = [layer for layer in chosen if not 0 <= layer < facts.layers]
    if wrong:
        raise TrainingError(f"student.layers: the teacher has layers 0 to {facts.layers - 1}, not {wrong}")


def keep_layers(config: Any, chosen: Sequence[int]) -> None:
    """Tell a configuration that some layers are left, in the given order; its lists with an entry per layer follow."""
    before = config.num_hidden_layers
    for name, value in copy.copy(vars(config)).items():
        if isinstance(value, list | tuple) and len(value) == before and _is_per_layer(name):
            setattr(config, name, type(value)(value[layer] for layer in chosen))
    config.num_hidden_layers = len(chosen)


def _is_per_layer(name: str) -> bool:
    """Other lists may be as long by chance, such as DeBERTa's kinds of attention."""
    return "layer" in name or name == "attention_window"


def _kind(config: Any) -> Kind:
    from transformers.models.auto import modeling_auto as known

    if _of(config, "is_encoder_decoder"):
        return "encoder-decoder"
    fills_gaps = config.model_type in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    writes = config.model_type in known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not fills_gaps
    return "decoder" if writes else "encoder"


def _positions(config: Any, family: str) -> int | None:
    positions = _of(config, "max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:
        return None  # -1 in XLNet's and others' files
    if family in _BEHIND_PADDING:
        positions -= (_of(config, "pad_token_id") or 0) + 1
    return positions


def _of(config: Any, name: str) -> Any:
    """A setting; none where a family has no such thing, for which some raise errors of other kinds."""
    try:
        return getattr(config, name, None)
    except NotImplementedError:
        return None
