"""The student station: a smaller model learns from the teacher's answers."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import transformers

from marwright.config import StudentConfig
from marwright.console.progress import say
from marwright.files import read_json
from marwright.pretrained.encoder_facts import check_positions, facts_of
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.processes.launched import is_main
from marwright.training.augmentation import with_altered_texts
from marwright.training.checkpoint import (
    freeze_word_embeddings,
    load_classifier,
    set_dropout,
    start_student,
)
from marwright.training.dataset import TokenizedSplit, collator_for, tokenized_splits
from marwright.training.distillation import DistillationTrainer, HiddenStateDistance
from marwright.training.fitting import fit
from marwright.training.results import write_results
from marwright.workspace import DataFolder, ModelFolder


def ship_teacher(teacher: ModelFolder, *, output: Path) -> None:
    """Write a :class:`ModelFolder` that is the teacher itself (``student: none``)."""
    shutil.copytree(teacher.root, output, dirs_exist_ok=True)
    say("  student: none, the teacher itself goes into the archive")


def train_student(
    config: StudentConfig,
    data: DataFolder,
    teacher: ModelFolder,
    *,
    max_length: int,
    seed: int,
    output: Path,
    work: Path,
) -> None:
    """Write a :class:`ModelFolder`.

    Args:
        config: where the student starts, and its optimisation.
        data: the splits.
        teacher: its checkpoint, and its logits of the train split.
        max_length: tokens at which texts are cut.
        seed: of new layers, shuffling and dropout.
        output: an empty folder.
        work: where training checkpoints are kept until the station is done.

    Raises:
        TrainingError: the teacher has no such layers, or its hidden states cannot be compared.
        CheckpointError: the student's own checkpoint cannot be loaded.
    """
    started = time.monotonic()
    transformers.set_seed(seed)
    if config.checkpoint is not None:
        tokenizer = load_tokenizer(config.checkpoint, max_length)
    else:
        tokenizer = load_tokenizer(str(teacher.root), max_length)
    labels = read_json(data.labels)
    teacher_model = load_classifier(teacher.checkpoint, labels)
    model = start_student(config, teacher_model, labels)
    check_positions(facts_of(model.config), max_length, "the student")
    set_dropout(model, config.dropout)
    if config.freeze_word_embeddings and config.shape is None:
        freeze_word_embeddings(model)
    if config.hidden_weight:
        # A child of the model, so that the optimizer learns its projection and a checkpoint resumes it.
        model.hidden_distance = HiddenStateDistance(teacher_model, model.config.hidden_size)

    splits = tokenized_splits(data, tokenizer)
    train = TokenizedSplit(splits["train"].rows, splits["train"].labels, np.load(teacher.logits("train")))
    if config.augmentation is not None:
        answering = teacher_model if config.alpha else None
        train = with_altered_texts(
            train, config.augmentation, data, tokenizer, answering, seed=seed, work=work, precision=config.precision
        )
    history = fit(
        model,
        train,
        splits["validation"],
        collator_for(tokenizer),
        config,
        what="student",
        seed=seed,
        work=work,
        trainer_class=DistillationTrainer,
        temperature=config.temperature,
        alpha=config.alpha,
        hidden_weight=config.hidden_weight,
    )
    if config.hidden_weight:
        del model.hidden_distance
    if is_main():
        write_results(
            model,
            tokenizer,
            splits,
            history,
            ModelFolder(output),
            what="student",
            started=started,
            precision=config.precision,
        )
