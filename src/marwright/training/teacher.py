"""The teacher station: a pretrained encoder learns the labels."""

from __future__ import annotations

from pathlib import Path

from marwright.config import TeacherConfig
from marwright.pretrained.encoder_facts import check_positions, facts_of
from marwright.training.checkpoint import load_classifier
from marwright.training.fitting import last_checkpoint
from marwright.training.objective import Objective
from marwright.training.precision import trained_in
from marwright.training.probing import fit_last_layer
from marwright.training.session import Session
from marwright.workspace import DataFolder


def train_teacher(config: TeacherConfig, data: DataFolder, *, seed: int, output: Path, work: Path) -> None:
    """Write a :class:`ModelFolder`; the arguments are those of :class:`Session`.

    Raises:
        CheckpointError: the pretrained checkpoint cannot be loaded.
    """
    session = Session("teacher", data, config.checkpoint, config.max_length, seed=seed, output=output, work=work)
    model = load_classifier(config.checkpoint, session.labels)
    check_positions(facts_of(model.config), config.max_length, config.checkpoint)
    if config.linear_probe and last_checkpoint(work) is None:
        train, dtype = session.splits["train"], trained_in(config.precision)
        fit_last_layer(model, train, session.collator, session.task, seed=seed, dtype=dtype)
    history = session.fit(model, config, Objective(session.task, label_smoothing=config.label_smoothing))
    session.finish(model, history, config)
