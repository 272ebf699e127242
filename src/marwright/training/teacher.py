"""The teacher station: a pretrained encoder learns the labels."""

from __future__ import annotations

import time
from pathlib import Path

import transformers

from marwright.config import TeacherConfig
from marwright.files import read_json
from marwright.pretrained.encoder_facts import check_positions, facts_of
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.processes.launched import is_main
from marwright.training.checkpoint import freeze_word_embeddings, load_classifier, set_dropout
from marwright.training.dataset import collator_for, tokenized_splits
from marwright.training.fitting import fit, last_checkpoint
from marwright.training.precision import trained_in
from marwright.training.probing import fit_last_layer
from marwright.training.results import write_results
from marwright.workspace import DataFolder, ModelFolder


def train_teacher(config: TeacherConfig, data: DataFolder, *, seed: int, output: Path, work: Path) -> None:
    """Write a :class:`ModelFolder`.

    Args:
        config: checkpoint, length and optimisation.
        data: the splits.
        seed: of the new last layer, shuffling and dropout.
        output: an empty folder.
        work: where training checkpoints are kept until the station is done.

    Raises:
        CheckpointError: the pretrained checkpoint cannot be loaded.
    """
    started = time.monotonic()
    transformers.set_seed(seed)
    tokenizer = load_tokenizer(config.checkpoint, config.max_length)
    splits = tokenized_splits(data, tokenizer)
    model = load_classifier(config.checkpoint, read_json(data.labels))
    check_positions(facts_of(model.config), config.max_length, config.checkpoint)
    set_dropout(model, config.dropout)
    if config.freeze_word_embeddings:
        freeze_word_embeddings(model)
    if config.linear_probe and last_checkpoint(work) is None:
        dtype = trained_in(config.precision)
        fit_last_layer(model, splits["train"], collator_for(tokenizer), seed=seed, dtype=dtype)
    history = fit(
        model,
        splits["train"],
        splits["validation"],
        collator_for(tokenizer),
        config,
        what="teacher",
        seed=seed,
        work=work,
        label_smoothing=config.label_smoothing,
    )
    if is_main():
        write_results(
            model,
            tokenizer,
            splits,
            history,
            ModelFolder(output),
            what="teacher",
            started=started,
            precision=config.precision,
        )
