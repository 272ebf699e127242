"""What is known of a plan before anything is read: what checkpoints say of themselves, and what is installed here."""

from __future__ import annotations

from marwright.config import Config, StructuredPruning, StudentConfig
from marwright.errors import CompressionError, ExportError, TrainingError
from marwright.mar.handler_modules import handler_modules
from marwright.pretrained.around_texts import check_around
from marwright.pretrained.encoder_facts import (
    EncoderFacts,
    check_kind,
    check_layers,
    check_positions,
    check_vocabulary,
    read_facts,
)
from marwright.pretrained.families import FAMILIES
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.runtimes import RUNTIMES
from marwright.schemes import SCHEMES
from marwright.training.precision import check_precision


def check_plan(config: Config) -> None:
    """Refuse what cannot be built, by what the checkpoints say of themselves and what is installed here.

    Raises:
        MarwrightError: the sentence names the setting, and what can be done.
    """
    length = config.teacher.max_length
    teacher = _checked(config.teacher.checkpoint, length)
    student = config.student if isinstance(config.student, StudentConfig) else None
    trained = {
        "teacher": config.teacher,
        "pruning": config.pruning,
        "compression.quantization_aware": config.compression.quantization_aware,
        "student": student,
    }
    for key, section in trained.items():
        if section is not None:
            check_precision(section.precision, f"{key}.precision")
    if student is not None and student.layers is not None:
        check_layers(teacher, student.layers)
    served: EncoderFacts | None = teacher
    if student is not None and student.checkpoint is not None:
        served = _checked(student.checkpoint, length)
    elif student is not None and student.layers is None:
        served = None  # a fresh BERT or Bi-LSTM
    _check_served(config, served)
    _check_tools(config)


def _checked(checkpoint: str, max_length: int) -> EncoderFacts:
    facts = read_facts(checkpoint)
    check_kind(facts, checkpoint)
    check_positions(facts, max_length, checkpoint)
    tokenizer = load_tokenizer(checkpoint, max_length)
    check_vocabulary(facts, tokenizer, checkpoint)
    check_around(facts, tokenizer, checkpoint)
    return facts


def _check_served(config: Config, served: EncoderFacts | None) -> None:
    """Refuse settings that are for marwright's own encoder, where another module is served.

    Nothing is known of the served one if the student is a fresh BERT or Bi-LSTM.
    """
    families = ", ".join(FAMILIES)
    if isinstance(config.pruning, StructuredPruning) and served is not None and not served.scripted:
        raise TrainingError(
            f"pruning.kind: structured knows the heads and neurons of {families}, not of {served.in_words}. "
            "Write `kind: magnitude`, or leave the section out."
        )
    other = _instead_of_our_encoder(config, served)
    if other is None:
        return
    runtime = RUNTIMES[config.export.runtime]
    if runtime.encoders_only:
        raise ExportError(
            f"export.runtime: {runtime.name} compiles {families} only, not {other}: write `runtime: torchscript`"
        )
    schemes = [SCHEMES[name] for name in config.compression.schemes]
    if all(scheme.encoders_only for scheme in schemes):
        raise CompressionError(
            f"{schemes[0].setting} is for {families} only, not for {other}: write `activations: auto`"
        )


def _instead_of_our_encoder(config: Config, served: EncoderFacts | None) -> str | None:
    """What is exported, in words, if it is not marwright's own encoder."""
    if served is not None and not served.scripted:
        return served.in_words
    if config.export.method == "trace":
        return "what export.method: trace makes of them"
    if served is None and isinstance(config.student, StudentConfig) and config.student.bilstm is not None:
        return "student.bilstm"
    return None


def _check_tools(config: Config) -> None:
    missing = RUNTIMES[config.export.runtime].missing()
    if missing is not None:
        raise ExportError(missing)
    if config.archive.handler is not None:
        handler_modules(config.archive.handler)
