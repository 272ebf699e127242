"""Every setting of a configuration file, with its default and its bounds; those of rows and training stand beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from marwright.config.data import DataConfig
from marwright.config.training import (
    Pruning,
    QuantizationAwareConfig,
    StructuredPruning,
    Student,
    StudentConfig,
    TeacherConfig,
)
from marwright.formats.section import Section, setting
from marwright.runtimes import RUNTIMES, Wishes
from marwright.schemes import SCHEMES
from marwright.tasks import SINGLE_LABEL, TASKS

if TYPE_CHECKING:
    CpuPrecision = str
    Activations = str
    GpuPrecision = str
    RuntimeName = str
else:  # what there is to choose from, the preferred first
    _for_cpus = [scheme for scheme in SCHEMES.values() if not scheme.on_gpu]
    _activations = [scheme.activations for scheme in _for_cpus if scheme.activations is not None]
    CpuPrecision = Literal[tuple(dict.fromkeys(scheme.precision for scheme in _for_cpus))]
    Activations = Literal[tuple(dict.fromkeys(["auto", *_activations]))]
    RuntimeName = Literal[tuple(RUNTIMES)]
    GpuPrecision = Literal[(*(name for name, scheme in SCHEMES.items() if scheme.on_gpu), "none")]

LARGEST_SEED = 2**32 - 1
"""Of NumPy's generator, which transformers seeds too."""


class CompressionConfig(Section):
    """The precision of the modules in the archive."""

    cpu: CpuPrecision = setting("int8", "precision of the weights of the module for CPUs")
    activations: Activations = setting(
        "auto",
        "int8 scales of activations: fixed on train rows (static, for x86 with VNNI), found for each token "
        "as it comes (dynamic), or whichever of the two proves faster here without answering differently",
    )
    gpu: GpuPrecision = setting(
        "fp16", "16 bits for GPUs; bf16 has the range of fp32 and an eighth of fp16's exactness"
    )
    embeddings: Literal["int8", "fp32"] = setting(
        "int8", "word embeddings stored as one int8 row and one scale per token"
    )
    quantization_aware: QuantizationAwareConfig | None = setting(
        None, "train once more with the rounding of int8; none: round the weights as they are"
    )
    max_drop: float | None = setting(
        None,
        "share of validation rows whose label int8 may change; if it changes more, the layers that "
        "cause it stay in fp32",
        ge=0,
        lt=1,
    )

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes that the CPU's module may have, the preferred one first."""
        return tuple(
            name
            for name, scheme in SCHEMES.items()
            if not scheme.on_gpu
            and scheme.precision == self.cpu
            and (self.activations == "auto" or scheme.activations in (None, self.activations))
        )

    @model_validator(mode="after")
    def _int8_is_asked_for(self) -> Self:
        if not self.schemes:
            raise ValueError(f"cpu: {self.cpu} has no activations: {self.activations}; write `activations: auto`")
        if any(SCHEMES[name].quantized for name in self.schemes):
            return self
        if self.quantization_aware is not None:
            raise ValueError(
                f"quantization_aware trains for int8, but cpu is {self.cpu}: write `cpu: int8` or leave it out"
            )
        if self.max_drop is not None:
            raise ValueError(f"max_drop is about int8, but cpu is {self.cpu}: write `cpu: int8` or leave it out")
        return self


class ExportConfig(Section):
    """How the module becomes TorchScript, and how exactly it must answer as before."""

    runtime: RuntimeName = setting(
        "torchscript",
        "what computes the CPU's module in the worker: " + ", ".join(RUNTIMES),
    )
    method: Literal["script", "trace"] = setting("script", "script marwright's own encoder, or trace")
    tolerance: float = setting(1e-4, "largest difference of a logit before quantization", gt=0)
    temperature: float | None = setting(
        None,
        "divides logits before the softmax, so that probabilities are what they say; none: fitted on "
        "validation rows, 1: as they are",
        gt=0,
    )


class GpuServingConfig(Section):
    """How an archive that is meant for GPUs is served there; it still answers on a CPU."""

    device_ids: tuple[Annotated[int, Field(ge=0, le=1_023)], ...] = setting(
        (), "GPUs of the server, from 0, each with a worker of its own; none given: all of them"
    )
    batch_size: int = setting(32, "most texts that are answered at once", ge=1, le=1024)
    max_batch_delay_ms: int = setting(2, "longest wait for a batch to fill; 0 would mean 100", ge=1, le=60_000)
    graph_megabytes: int = setting(
        512, "memory of a GPU that a worker's CUDA graphs may take; 0: no graphs", ge=0, le=1_000_000
    )

    @field_validator("device_ids")
    @classmethod
    def _each_once(cls, ids: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(ids)) < len(ids):
            raise ValueError("a GPU is named twice; workers on the same one would share its time")
        return ids


class ArchiveConfig(Section):
    """What the archive is called and how its handler and worker behave."""

    version: str = setting("1.0", "of the model, as TorchServe shows it", pattern=r"^\d+(\.\d+)*$")
    handler: Path | None = setting(None, "your own handler file instead of the text classifier")
    licenses: tuple[str, ...] = setting((), "lines for the model card: of the data, of the encoder")
    training_digests: bool = setting(
        True,
        "salted digests of the training texts in the archive, by which `evaluate` and `rollout` recognise "
        "them; who guesses a text can find out whether it was one of them",
    )
    top_k: int = setting(5, "labels in an answer, best first, where the request says nothing", ge=1, le=1_000_000)
    min_confidence: float | None = setting(None, "texts whose best label is less probable get none", gt=0, le=1)
    max_instances: int = setting(64, "texts in one request", ge=1, le=1_000_000)
    max_characters: int = setting(20_000, "characters of a text that are read; the rest is cut", ge=1, le=1_000_000_000)
    max_answer_bytes: int = setting(
        1_000_000,
        "of one answer; must stay below the server's max_response_size, or an answer ends its worker",
        ge=1_000,
        le=2_000_000_000,
    )
    threads: int = setting(1, "compute threads of a worker", ge=1, le=1_024)
    workers: int | None = setting(
        None, "processes with a copy of the model; none: one for every core or GPU of the server", ge=1, le=1_024
    )
    batch_size: int = setting(16, "most requests that are answered at once", ge=1, le=1024)
    max_batch_delay_ms: int = setting(1, "longest wait for a batch to fill; 0 would mean 100", ge=1, le=60_000)
    response_timeout_s: int = setting(30, "a worker that has not answered by then is started anew", ge=1, le=86_400)
    gpu: GpuServingConfig | None = setting(
        None, "for servers with GPUs: batches of their size, and which GPUs; none: as for CPUs"
    )


CandidateName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


TIMING_ROUNDS = 7


class ExploreConfig(Section):
    """Variants of a model that are built and measured side by side."""

    candidates: dict[CandidateName, dict[str, Any]] = Field(
        min_length=1, description="by name, the settings in which each differs: dotted.key: value"
    )
    timing_rounds: int = setting(
        TIMING_ROUNDS, "of timing all candidates in turns; medians are compared", ge=1, le=1_000
    )


class SelectConfig(Section):
    """What a candidate must keep to be shipped, and which of those that keep it is the best."""

    sla_ms: float | None = setting(
        None, "milliseconds that 99 of 100 calls with 16 texts must keep, on one thread", gt=0
    )
    max_accuracy_drop: float = setting(
        0.01, "validation accuracy it may lose against the teacher; 0.01 is one point", ge=0, lt=1
    )
    objective: Literal["latency", "throughput", "size"] = setting(
        "latency", "median of one text, texts a second in calls of 16, or bytes of the module"
    )


class Config(Section):
    """One model, from its rows to its archive."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="the archive is called NAME.mar")
    seed: int = setting(7, "of everything that is drawn by chance: splits, shuffling, dropout", ge=0, le=LARGEST_SEED)
    runs: Path = setting(Path("runs"), "folder for what a build makes on its way, in runs/NAME")
    model_store: Path = setting(Path("model_store"), "folder for the archive, which is served from it")
    task: str = setting(
        SINGLE_LABEL, "what is asked of a text: " + ", ".join(TASKS), json_schema_extra={"enum": list(TASKS)}
    )
    data: DataConfig
    teacher: TeacherConfig = TeacherConfig()
    student: Student = setting(
        StudentConfig(layers=(0, 2, 5)),
        "the smaller model that learns from the teacher and is shipped; none: the teacher is",
    )
    pruning: Pruning | None = setting(None, "parts that are taken out of the student before it is trained once more")
    compression: CompressionConfig = CompressionConfig()
    export: ExportConfig = ExportConfig()
    archive: ArchiveConfig = ArchiveConfig()
    explore: ExploreConfig | None = setting(None, "what `marwright explore` builds and measures")
    select: SelectConfig | None = setting(None, "`marwright build` then ships the candidate it picks")

    @field_validator("task")
    @classmethod
    def _is_a_task(cls, name: str) -> str:
        if name not in TASKS:
            raise ValueError(f"there is no such task, only {', '.join(TASKS)}")
        return name

    @field_validator("student", mode="before")
    @classmethod
    def _yaml_null_means_none(cls, value: object) -> object:
        return "none" if value is None else value

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        bilstm = isinstance(self.student, StudentConfig) and self.student.bilstm is not None
        structured, traced = isinstance(self.pruning, StructuredPruning), self.export.method == "trace"
        quantization_aware = self.compression.quantization_aware is not None
        if bilstm and (self.pruning is not None or quantization_aware):
            raise ValueError("pruning and compression.quantization_aware are for transformers; student.bilstm is none")
        if bilstm and self.compression.max_drop is not None:
            raise ValueError("compression.max_drop chooses among a transformer's layers; student.bilstm has none")
        if self.archive.gpu is not None and self.compression.gpu == "none":
            raise ValueError("archive.gpu is about GPUs, for which compression.gpu: none makes no module: write fp16")
        wishes = Wishes(
            bilstm=bilstm,
            structured_pruning=structured,
            quantization_aware=quantization_aware,
            max_drop=self.compression.max_drop is not None,
            schemes=tuple(SCHEMES[name] for name in self.compression.schemes),
            several_threads=self.archive.threads > 1,
            traced=traced,
        )
        refusal = RUNTIMES[self.export.runtime].refusal(wishes)
        if refusal is not None:
            raise ValueError(refusal)
        if structured and traced:
            raise ValueError(
                "pruning.kind: structured needs export.method: script, marwright's own encoder; a traced module "
                "computes the removed parts all the same. Write `method: script`, or `kind: magnitude`"
            )
        return self
