"""The tuned station: quantization-aware training. A trained model learns to answer well with int8 numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marwright.config import CompressionConfig, ExportConfig
from marwright.console.progress import say
from marwright.encoder.families import load_module
from marwright.encoder.kept_parts import KeptParts
from marwright.errors import CompressionError
from marwright.files import read_json
from marwright.schemes import SCHEMES, Texts
from marwright.schemes.scheme import Roundings
from marwright.training.checkpoint import load_classifier
from marwright.training.fake_quantization import rounding
from marwright.training.magnitude import WeightMask
from marwright.training.session import Session
from marwright.training.structure import remove_all_but
from marwright.workspace import DataFolder, ModelFolder


def tune(
    config: CompressionConfig,
    export: ExportConfig,
    data: DataFolder,
    teacher: ModelFolder,
    model: ModelFolder,
    *,
    max_length: int,
    seed: int,
    output: Path,
    work: Path,
) -> None:
    """Write a :class:`ModelFolder` in float32 whose weights and activations suit int8.

    The model learns from the teacher's logits of the train split; the other arguments are those of :class:`Session`.

    Args:
        config: its ``quantization_aware`` section is the training; the rest says which int8 form is meant.
        export: says which module the weights are for.
    """
    training = config.quantization_aware
    assert training is not None
    session = Session("tuned", data, str(model.root), max_length, seed=seed, output=output, work=work)
    tuned = load_classifier(model.checkpoint, session.labels)
    kept = KeptParts.read(model.checkpoint)
    if kept is not None:
        remove_all_but(tuned, kept)
    # Weights that were pruned stay so.
    mask = WeightMask.of_zeros(tuned)

    texts = Texts(session.splits["train"].rows, session.collator.filler)
    scheme, roundings = _roundings(config, export, tuned, model, texts)
    say(f"  quantization-aware training for {scheme}")
    with rounding(tuned, roundings, embeddings=config.embeddings == "int8"):
        history = session.fine_tune(tuned, training, teacher, [mask] if mask.zeros else [])
    before = read_json(model.metrics)
    about = {"quantization_aware": {"scheme": scheme, **{split: before[split] for split in ("validation", "test")}}}
    session.finish(tuned, history, training, about=about, removed=(kept, model.checkpoint))
    say(f"  the same model before it was tuned: test accuracy {before['test']['accuracy']:.2%}")


def _roundings(
    config: CompressionConfig, export: ExportConfig, tuned: Any, model: ModelFolder, train: Texts
) -> tuple[str, Roundings]:
    """The scheme that compression prefers for this model, and the rounding that goes with it."""
    module = load_module(model.checkpoint, export.method)
    schemes = [SCHEMES[name] for name in config.schemes]
    scheme = next((each for each in schemes if each.hindrance(module) is None), None)
    if scheme is None:
        raise CompressionError(
            f"compression.quantization_aware is not possible: {schemes[0].hindrance(module)}. "
            "Write `activations: auto`, or leave the section out."
        )
    int8_embeddings = config.embeddings == "int8"
    return scheme.name, scheme.roundings(tuned, module, train, int8_embeddings=int8_embeddings)
