"""Settings of everything that trains: teacher, student, pruning, quantization-aware training."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from marwright.formats.section import Section, setting

TrainingPrecision = Literal["auto", "fp32", "bf16", "fp16"]


class TrainingConfig(Section):
    """Optimisation shared by teacher and student (AdamW, linear decay after a linear warm-up)."""

    epochs: int = setting(8, "most passes over the train rows", ge=1, le=10_000)
    batch_size: int = setting(32, "texts in a step of training", ge=1, le=65_536)
    learning_rate: float = setting(2e-4, "at its highest, after the warm-up", gt=0)
    weight_decay: float = setting(0.01, "of AdamW: how fast weights shrink that nothing needs", ge=0)
    warmup_fraction: float = setting(0.1, "share of the steps in which the learning rate rises from 0", ge=0, lt=1)
    dropout: float = setting(
        0.1, "share of values hidden at random in training; on a CPU a fifth of a step", ge=0, lt=1
    )
    freeze_word_embeddings: bool = setting(True, "they are half of a small BERT; frozen, it trains faster")
    early_stopping_patience: int = setting(
        3, "epochs without a better macro-F1 on validation rows after which training ends", ge=1, le=10_000
    )
    # What is not given stays out of the fingerprint: models made before this setting existed are still fresh.
    precision: TrainingPrecision = setting(
        "auto",
        "in which numbers matrices are multiplied in training; auto: bf16 where the hardware does it, "
        "otherwise fp32; fp16 is for GPUs",
        exclude_if=lambda given: given == "auto",
    )


class TeacherConfig(TrainingConfig):
    """The model that learns from the labels."""

    checkpoint: str = setting(
        "packaged:all-MiniLM-L6-v2", "the pretrained encoder: one that a package brings, a folder, or a hub id"
    )
    max_length: int = setting(64, "tokens of a text that are read, [CLS] and [SEP] included", ge=4, le=512)
    label_smoothing: float = setting(0.0, "share of a label's weight that is spread over the others", ge=0, lt=1)
    linear_probe: bool = setting(True, "fit the new last layer before the others are trained")


class BiLstmShape(Section):
    """A bidirectional LSTM over the teacher's word embeddings (Tang et al. 2019)."""

    hidden: int = setting(150, "size of one direction's state", ge=1, le=8192)
    layers: int = setting(1, "one above the other", ge=1, le=64)
    dense: int = setting(200, "size of the layer before the last one", ge=1, le=65_536)


class AugmentationConfig(Section):
    """Altered copies of the train texts, answered by the teacher (Tang et al. 2019)."""

    copies: int = setting(4, "of each text; each makes an epoch longer by as much again", ge=1, le=1_000)
    mask: float = setting(0.1, "share of words that are hidden", ge=0, lt=1)
    ngram: float = setting(0.25, "share of copies that are a phrase of 1 to 5 words", ge=0, le=1)

    @model_validator(mode="after")
    def _alters_something(self) -> Self:
        if not self.mask and not self.ngram:
            raise ValueError("mask and ngram are both 0: the copies would all be the texts themselves")
        return self


class StudentConfig(TrainingConfig):
    """The smaller model that learns from the teacher (Hinton, Vinyals and Dean 2015)."""

    layers: tuple[int, ...] | None = setting(None, "the teacher's layers it starts from", min_length=1)
    checkpoint: str | None = setting(None, "a smaller pretrained checkpoint")
    shape: Literal["tiny", "mini", "small", "medium"] | None = setting(None, "a fresh BERT")
    # What is not given stays out of the fingerprint: students made before these settings existed are still fresh.
    teacher_words: bool = setting(
        False,
        "start a fresh BERT from the teacher's word embeddings, projected to its width",
        exclude_if=lambda given: not given,
    )
    bilstm: BiLstmShape | None = setting(None, "a fresh Bi-LSTM", exclude_if=lambda given: given is None)
    augmentation: AugmentationConfig | None = setting(
        None, "more texts for the teacher to answer", exclude_if=lambda given: given is None
    )
    temperature: float = setting(
        3.0, "divides teacher's and student's logits while the one learns from the other", gt=0
    )
    alpha: float = setting(0.9, "weight of the teacher's answers against the labels", ge=0, le=1)
    hidden_weight: float = setting(0.0, "weight of the last hidden state's distance", ge=0)

    @model_validator(mode="after")
    def _can_be_taught_from_one_start(self) -> Self:
        if sum(start is not None for start in (self.layers, self.checkpoint, self.shape, self.bilstm)) != 1:
            raise ValueError("give exactly one of layers, checkpoint, shape and bilstm, or write `student: none`")
        if self.bilstm is not None and self.hidden_weight:
            raise ValueError("hidden_weight compares the states of transformers; a Bi-LSTM has none: set it to 0")
        if self.hidden_weight and self.checkpoint is not None:
            raise ValueError(
                "hidden_weight compares hidden states token by token; a student with its own checkpoint may have "
                "another tokenizer. Set it to 0, or start the student from layers or a shape"
            )
        if self.teacher_words and self.shape is None:
            raise ValueError("teacher_words is for a shape; all other students have the teacher's or their own")
        if self.augmentation is not None and self.checkpoint is not None:
            raise ValueError(
                "augmentation alters token ids, and a student with its own checkpoint may have another tokenizer than "
                "the teacher; start it from layers, shape or bilstm"
            )
        return self


def _kind_of_student(value: Any) -> str:
    return "none" if isinstance(value, str) else "student"


# The tags keep a mistake in the one form from being reported as a mistake in the other too.
Student = Annotated[
    Annotated[Literal["none"], Tag("none")] | Annotated[StudentConfig, Tag("student")], Discriminator(_kind_of_student)
]


class FineTuningConfig(TrainingConfig):
    """Training of a model that has learnt already, after something was done to it; it learns from the teacher."""

    epochs: int = setting(6, "most passes over the train rows", ge=1, le=10_000)
    temperature: float = setting(
        3.0, "divides teacher's and student's logits while the one learns from the other", gt=0
    )
    alpha: float = setting(0.9, "weight of the teacher's answers against the labels", ge=0, le=1)


class MagnitudePruning(FineTuningConfig):
    """The smallest weights become zero, wherever they are (Han et al. 2015): smaller when compressed, not faster."""

    kind: Literal["magnitude"]
    share: float = setting(0.5, "of the weights of the encoder's linear layers", gt=0, lt=1)


class StructuredPruning(FineTuningConfig):
    """Attention heads (Michel et al. 2019) and feed-forward neurons (Molchanov et al. 2017) are removed: faster."""

    kind: Literal["structured"]
    heads: float = setting(0.5, "share of all attention heads to remove", ge=0, lt=1)
    neurons: float = setting(0.6, "share of feed-forward neurons to remove; the last layer keeps its own", ge=0, lt=1)

    @model_validator(mode="after")
    def _removes_something(self) -> Self:
        if self.heads == self.neurons == 0:
            raise ValueError("heads and neurons are both 0: nothing would be removed; leave the section out")
        return self


Pruning = Annotated[MagnitudePruning | StructuredPruning, Field(discriminator="kind")]


class QuantizationAwareConfig(FineTuningConfig):
    """Fine-tuning with int8 rounding simulated (Jacob et al. 2018; Zafrir et al. 2019)."""

    epochs: int = setting(3, "most passes over the train rows", ge=1, le=10_000)
    learning_rate: float = setting(5e-5, "at its highest, after the warm-up", gt=0)
