"""The pruned station: a trained model loses weights, heads or neurons, and learns from the teacher to do without."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import transformers

from marwright.config import MagnitudePruning, Pruning, StructuredPruning
from marwright.console.progress import say
from marwright.encoder.kept_parts import KeptParts, kept_parts_file
from marwright.encoder.layer_parts import layers_of
from marwright.errors import TrainingError
from marwright.files import read_json
from marwright.metrics.classification import scores
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.processes.launched import is_main, wait_for_all
from marwright.training.answers import logits_of
from marwright.training.checkpoint import load_classifier
from marwright.training.dataset import Collator, TokenizedSplit, collator_for, tokenized_splits
from marwright.training.fine_tuning import fine_tune, in_full_shape
from marwright.training.importance import importance_of
from marwright.training.magnitude import WeightMask
from marwright.training.results import write_results
from marwright.training.structure import choose_kept, remove_all_but
from marwright.workspace import DataFolder, ModelFolder


def prune(
    config: Pruning,
    data: DataFolder,
    teacher: ModelFolder,
    model: ModelFolder,
    *,
    max_length: int,
    seed: int,
    output: Path,
    work: Path,
) -> None:
    """Write a :class:`ModelFolder` whose checkpoint has its full shape, with zeros for what was pruned.

    Args:
        config: what is pruned, how much of it, and the fine-tuning.
        data: the splits.
        teacher: its logits of the train split are learnt from.
        model: what is pruned.
        max_length: tokens at which texts are cut.
        seed: of shuffling and dropout.
        output: an empty folder.
        work: where training checkpoints, and the choice of what is kept, stay until the station is done.

    Raises:
        TrainingError: marwright does not know the heads and neurons of the model's family.
    """
    started = time.monotonic()
    transformers.set_seed(seed)
    tokenizer = load_tokenizer(str(model.root), max_length)
    collator = collator_for(tokenizer)
    labels = read_json(data.labels)
    splits = tokenized_splits(data, tokenizer)
    pruned = load_classifier(model.checkpoint, labels)
    parameters = _count(pruned)
    before = read_json(model.metrics)

    callbacks = []
    kept: KeptParts | None = None
    if isinstance(config, MagnitudePruning):
        mask = WeightMask.of_smallest(pruned, config.share)
        callbacks.append(mask)
        left = parameters - mask.zeros
        what: dict[str, Any] = {"weights": mask.weights, "zeros": mask.zeros}
        say(
            f"  {mask.zeros / 1e6:.1f} of {mask.weights / 1e6:.1f} million weights of the encoder set to zero "
            "(smaller when compressed, not faster)"
        )
    else:
        kept = _kept(config, pruned, splits["train"], collator, work)
        remove_all_but(pruned, kept)
        left = _count(pruned)
        what = {"heads": [len(layer) for layer in kept.heads], "neurons": [len(layer) for layer in kept.neurons]}
        say(f"  heads left in each layer: {_listed(what['heads'])}; neurons: {_listed(what['neurons'])}")
    if is_main():
        logits = logits_of(pruned, splits["validation"], collator, "pruned: validation answers")
        cut = scores(logits, splits["validation"].labels)["accuracy"]
        say(
            f"  validation accuracy {before['validation']['accuracy']:.1%} before it was pruned, "
            f"{cut:.1%} before fine-tuning"
        )

    history = fine_tune(
        pruned, splits, teacher, collator, config, what="pruned", seed=seed, work=work, callbacks=callbacks
    )
    if not is_main():
        return
    pruned = in_full_shape(pruned, kept, model.checkpoint, labels)
    about = {
        "pruning": {"kind": config.kind, "parameters_left": left, "of_parameters": parameters, **what},
        "unpruned": {split: before[split] for split in ("validation", "test")},
    }
    folder = ModelFolder(output)
    write_results(
        pruned,
        tokenizer,
        splits,
        history,
        folder,
        what="pruned",
        started=started,
        precision=config.precision,
        about=about,
    )
    if kept is not None:
        kept.write(folder.checkpoint)


def _kept(config: StructuredPruning, model: Any, train: TokenizedSplit, collator: Collator, work: Path) -> KeptParts:
    """Choose what is kept, once: a resumed training goes on with the model it began with."""
    layers_of(model)  # refuses other families in every process, before anyone waits
    if is_main() and not kept_parts_file(work).is_file():
        work.mkdir(parents=True, exist_ok=True)
        choose_kept(importance_of(model, train, collator), config.heads, config.neurons).write(work)
    wait_for_all()
    kept = KeptParts.read(work)
    if kept is None:
        raise TrainingError(f"{kept_parts_file(work)}: the choice of what is kept has gone; start the build again")
    return kept


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _listed(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))
