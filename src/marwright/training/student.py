"""The student station: a smaller model learns from the teacher's answers."""

from __future__ import annotations

import shutil
from pathlib import Path

from marwright.config import StudentConfig
from marwright.console.progress import say
from marwright.pretrained.encoder_facts import check_positions, facts_of
from marwright.training.augmentation import with_altered_texts
from marwright.training.checkpoint import load_classifier, start_student
from marwright.training.objective import HiddenStateDistance, Objective
from marwright.training.session import Session
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
    """Write a :class:`ModelFolder`; the other arguments are those of :class:`Session`.

    The teacher gives its checkpoint and its logits of the train split.

    Raises:
        TrainingError: the teacher has no such layers, or its hidden states cannot be compared.
        CheckpointError: the student's own checkpoint cannot be loaded.
    """
    read_by = config.checkpoint or str(teacher.root)
    session = Session("student", data, read_by, max_length, seed=seed, output=output, work=work)
    teacher_model = load_classifier(teacher.checkpoint, session.labels)
    model = start_student(config, teacher_model, session.labels)
    check_positions(facts_of(model.config), max_length, "the student")
    if config.hidden_weight:
        # A child of the model, so that the optimizer learns its projection and a checkpoint resumes it.
        model.hidden_distance = HiddenStateDistance(teacher_model, model.config.hidden_size)
    train = session.answered_train(teacher)
    if config.augmentation is not None:
        answering = teacher_model if config.alpha else None
        train = with_altered_texts(session, train, config.augmentation, data, answering, config.precision)
    objective = Objective(
        session.task, temperature=config.temperature, alpha=config.alpha, hidden_weight=config.hidden_weight
    )
    # What a fresh BERT knows of words is random.
    history = session.fit(model, config, objective, train, freeze=config.shape is None)
    if config.hidden_weight:
        del model.hidden_distance
    session.finish(model, history, config)
