"""Settings of everything that trains: teacher, student, pruning, quantization-aware training."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from marwright.formats.section import Section

TrainingPrecision = Literal["auto", "fp32", "bf16", "fp16"]


class TrainingConfig(Section):
    """Optimisation shared by teacher and student (AdamW, linear decay after a linear warm-up)."""

    epochs: int = Field(default=8, ge=1, description="most passes over the train rows")
    batch_size: int = Field(default=32, ge=1, description="texts in a step of training")
    learning_rate: float = Field(default=2e-4, gt=0, description="at its highest, after the warm-up")
    weight_decay: float = Field(default=0.01, ge=0, description="of AdamW: how fast weights shrink that nothing needs")
    warmup_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises from 0"
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="share of values hidden at random in training; on a CPU a fifth of a step"
    )
    freeze_word_embeddings: bool = Field(
        default=True, description="they are half of a small BERT; frozen, it trains faster"
    )
    early_stopping_patience: int = Field(
        default=3, ge=1, description="epochs without a better macro-F1 on validation rows after which training ends"
    )
    # What is not given stays out of the fingerprint: models made before this setting existed are still fresh.
    precision: TrainingPrecision = Field(
        default="auto",
        exclude_if=lambda given: given == "auto",
        description="in which numbers matrices are multiplied in training; auto: bf16 where the hardware does it, "
        "otherwise fp32; fp16 is for GPUs",
    )


class TeacherConfig(TrainingConfig):
    """The model that learns from the labels."""

    checkpoint: str = Field(
        default="packaged:all-MiniLM-L6-v2",
        description="the pretrained encoder: one that a package brings, a folder, or a hub id",
    )
    max_length: int = Field(
        default=64, ge=4, le=512, description="tokens of a text that are read, [CLS] and [SEP] included"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of a label's weight that is spread over the others"
    )
    linear_probe: bool = Field(default=True, description="fit the new last layer before the others are trained")


class BiLstmShape(Section):
    """A bidirectional LSTM over the teacher's word embeddings (Tang et al. 2019)."""

    hidden: int = Field(default=150, ge=1, description="size of one direction's state")
    layers: int = Field(default=1, ge=1, description="one above the other")
    dense: int = Field(default=200, ge=1, description="size of the layer before the last one")


class AugmentationConfig(Section):
    """Altered copies of the train texts, answered by the teacher (Tang et al. 2019)."""

    copies: int = Field(default=4, ge=1, description="of each text; each makes an epoch longer by as much again")
    mask: float = Field(default=0.1, ge=0, lt=1, description="share of words that are hidden")
    ngram: float = Field(default=0.25, ge=0, le=1, description="share of copies that are a phrase of 1 to 5 words")

    @model_validator(mode="after")
    def _alters_something(self) -> Self:
        if not self.mask and not self.ngram:
            raise ValueError("mask and ngram are both 0: the copies would all be the texts themselves")
        return self


class StudentConfig(TrainingConfig):
    """The smaller model that learns from the teacher (Hinton, Vinyals and Dean 2015)."""

    layers: tuple[int, ...] | None = Field(
        default=None, min_length=1, description="the teacher's layers it starts from"
    )
    checkpoint: str | None = Field(default=None, description="a smaller pretrained checkpoint")
    shape: Literal["tiny", "mini", "small", "medium"] | None = Field(default=None, description="a fresh BERT")
    # What is not given stays out of the fingerprint: students made before these settings existed are still fresh.
    teacher_words: bool = Field(
        default=False,
        exclude_if=lambda given: not given,
        description="start a fresh BERT from the teacher's word embeddings, projected to its width",
    )
    bilstm: BiLstmShape | None = Field(
        default=None, exclude_if=lambda given: given is None, description="a fresh Bi-LSTM"
    )
    augmentation: AugmentationConfig | None = Field(
        default=None, exclude_if=lambda given: given is None, description="more texts for the teacher to answer"
    )
    temperature: float = Field(
        default=3.0, gt=0, description="divides teacher's and student's logits while the one learns from the other"
    )
    alpha: float = Field(default=0.9, ge=0, le=1, description="weight of the teacher's answers against the labels")
    hidden_weight: float = Field(default=0.0, ge=0, description="weight of the last hidden state's distance")

    @model_validator(mode="after")
    def _starts_from_exactly_one_place(self) -> Self:
        if sum(start is not None for start in (self.layers, self.checkpoint, self.shape, self.bilstm)) != 1:
            raise ValueError("give exactly one of layers, checkpoint, shape and bilstm, or write `student: none`")
        return self

    @model_validator(mode="after")
    def _can_be_taught_so(self) -> Self:
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

    epochs: int = Field(default=6, ge=1, description="most passes over the train rows")
    temperature: float = Field(
        default=3.0, gt=0, description="divides teacher's and student's logits while the one learns from the other"
    )
    alpha: float = Field(default=0.9, ge=0, le=1, description="weight of the teacher's answers against the labels")


class MagnitudePruning(FineTuningConfig):
    """The smallest weights become zero, wherever they are (Han et al. 2015): smaller when compressed, not faster."""

    kind: Literal["magnitude"]
    share: float = Field(default=0.5, gt=0, lt=1, description="of the weights of the encoder's linear layers")


class StructuredPruning(FineTuningConfig):
    """Attention heads (Michel et al. 2019) and feed-forward neurons (Molchanov et al. 2017) are removed: faster."""

    kind: Literal["structured"]
    heads: float = Field(default=0.5, ge=0, lt=1, description="share of all attention heads to remove")
    neurons: float = Field(
        default=0.6, ge=0, lt=1, description="share of feed-forward neurons to remove; the last layer keeps its own"
    )

    @model_validator(mode="after")
    def _removes_something(self) -> Self:
        if self.heads == self.neurons == 0:
            raise ValueError("heads and neurons are both 0: nothing would be removed; leave the section out")
        return self


Pruning = Annotated[MagnitudePruning | StructuredPruning, Field(discriminator="kind")]


class QuantizationAwareConfig(FineTuningConfig):
    """Fine-tuning with int8 rounding simulated (Jacob et al. 2018; Zafrir et al. 2019)."""

    epochs: int = Field(default=3, ge=1, description="most passes over the train rows")
    learning_rate: float = Field(default=5e-5, gt=0, description="at its highest, after the warm-up")
