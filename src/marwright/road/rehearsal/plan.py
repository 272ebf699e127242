"""What is known of a plan before anything is read: what checkpoints say of themselves, and what is installed here."""

from __future__ import annotations

import shutil

from marwright.config import Config, StructuredPruning, StudentConfig
from marwright.errors import CompressionError, ExportError, TrainingError
from marwright.installed import is_installed
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
from marwright.training.precision import check_precision


def check_plan(config: Config) -> None:
    """Refuse what cannot be built, by what the checkpoints say of themselves and what is installed here.

    Raises:
        MarwrightError: the sentence names the setting, and what can be done.
    """
    length = config.teacher.max_length
    teacher = _checked(config.teacher.checkpoint, length)
    student = config.student if isinstance(config.student, StudentConfig) else None
    check_precision(config.teacher.precision, "teacher.precision")
    if config.pruning is not None:
        check_precision(config.pruning.precision, "pruning.precision")
    if config.compression.quantization_aware is not None:
        check_precision(config.compression.quantization_aware.precision, "compression.quantization_aware.precision")
    if student is not None:
        check_precision(student.precision, "student.precision")
        if student.layers is not None:
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
    check_vocabulary(facts, load_tokenizer(checkpoint, max_length), checkpoint)
    return facts


def _check_served(config: Config, served: EncoderFacts | None) -> None:
    """Refuse settings that are for marwright's own encoder, where another family is served."""
    if served is None:
        return
    families = ", ".join(FAMILIES)
    if isinstance(config.pruning, StructuredPruning) and not served.scripted:
        raise TrainingError(
            f"pruning.kind: structured knows the heads and neurons of {families}, not of {served.in_words}. "
            "Write `kind: magnitude`, or leave the section out."
        )
    if served.scripted:
        return
    if config.export.runtime == "aotinductor":
        raise ExportError(
            f"export.runtime: aotinductor compiles {families} only, not {served.in_words}: write `runtime: torchscript`"
        )
    if config.compression.cpu == "int8" and config.compression.activations == "static":
        raise CompressionError(
            f"compression.activations: static is for {families} only, not for {served.in_words}: "
            "write `activations: auto`"
        )


def _check_tools(config: Config) -> None:
    from marwright.mar.handler_modules import handler_modules

    if config.export.runtime == "onnxruntime":
        for package in ("onnx", "onnxruntime"):
            if not is_installed(package):
                raise ExportError(
                    f"export.runtime: onnxruntime needs the package {package}: pip install 'marwright[onnx]'"
                )
    if config.export.runtime == "aotinductor" and shutil.which("g++") is None and shutil.which("clang++") is None:
        raise ExportError(
            "export.runtime: aotinductor needs a C++ compiler on the machine of the build: apt install g++"
        )
    if config.archive.handler is not None:
        handler_modules(config.archive.handler)
