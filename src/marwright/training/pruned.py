"""The pruned station: a trained model loses weights, heads or neurons, and learns from the teacher to do without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marwright.config import MagnitudePruning, Pruning, StructuredPruning
from marwright.console.progress import say
from marwright.encoder.kept_parts import KeptParts, kept_parts_file
from marwright.encoder.layer_parts import layers_of
from marwright.errors import TrainingError
from marwright.files import read_json
from marwright.processes.launched import is_main, wait_for_all
from marwright.training.answers import logits_of
from marwright.training.checkpoint import load_classifier
from marwright.training.importance import importance_of
from marwright.training.magnitude import WeightMask
from marwright.training.session import Session
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

    What is left of the model learns from the teacher's logits of the train split. The choice of what is kept stays in
    ``work``; the other arguments are those of :class:`Session`.

    Raises:
        TrainingError: marwright does not know the heads and neurons of the model's family.
    """
    session = Session("pruned", data, str(model.root), max_length, seed=seed, output=output, work=work)
    pruned = load_classifier(model.checkpoint, session.labels)
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
        kept = _kept(config, pruned, session)
        remove_all_but(pruned, kept)
        left = _count(pruned)
        what = {"heads": [len(layer) for layer in kept.heads], "neurons": [len(layer) for layer in kept.neurons]}
        heads, neurons = (" ".join(map(str, what[part])) for part in ("heads", "neurons"))
        say(f"  heads left in each layer: {heads}; neurons: {neurons}")
    if is_main():
        validation = session.splits["validation"]
        logits = logits_of(pruned, validation, session.collator.filler, "pruned: validation answers")
        cut = session.task.scores(logits, validation.labels)["accuracy"]
        say(
            f"  validation accuracy {before['validation']['accuracy']:.1%} before it was pruned, "
            f"{cut:.1%} before fine-tuning"
        )

    history = session.fine_tune(pruned, config, teacher, callbacks)
    about = {
        "pruning": {"kind": config.kind, "parameters_left": left, "of_parameters": parameters, **what},
        "unpruned": {split: before[split] for split in ("validation", "test")},
    }
    session.finish(pruned, history, config, about=about, removed=(kept, model.checkpoint))


def _kept(config: StructuredPruning, model: Any, session: Session) -> KeptParts:
    """Choose what is kept, once: a resumed training goes on with the model it began with."""
    work = session.work
    layers_of(model)  # refuses other families in every process, before anyone waits
    if is_main() and not kept_parts_file(work).is_file():
        work.mkdir(parents=True, exist_ok=True)
        importance = importance_of(model, session.splits["train"], session.collator, session.task)
        choose_kept(importance, config.heads, config.neurons).write(work)
    wait_for_all()
    kept = KeptParts.read(work)
    if kept is None:
        raise TrainingError(f"{kept_parts_file(work)}: the choice of what is kept has gone; start the build again")
    return kept


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
