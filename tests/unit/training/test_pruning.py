"""Pruning: what is removed is what matters least, what is left computes the same, and zeros stay zero."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    ElectraConfig,
    ElectraForSequenceClassification,
    TrainerControl,
    TrainerState,
)

import tiny_run
from encoder_cases import BATCHES, FAMILIES, TOLERANCE, batch_of, largest_difference, rows_of
from marwright.compression.station import compress
from marwright.config import CompressionConfig, ExportConfig, MagnitudePruning, StructuredPruning
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.encoder.kept_parts import KeptParts
from marwright.encoder.layer_parts import layers_of
from marwright.encoder.shape import LayerShape
from marwright.errors import TrainingError
from marwright.export.station import export
from marwright.files import read_json, stable_json, write_text
from marwright.runtimes import jit
from marwright.schemes import SCHEMES, STATIC, Texts
from marwright.tasks import SINGLE_LABEL, TASKS
from marwright.training.dataset import Collator, TokenizedSplit
from marwright.training.importance import Importance, importance_of
from marwright.training.magnitude import WeightMask
from marwright.training.pruned import prune
from marwright.training.structure import choose_kept, put_back, remove_all_but
from marwright.workspace import CompressedFolder, ModelFolder, Run
from pruned_models import KEPT, classifier, logits
from tiny_models import POSITIONS, VOCABULARY, save_tiny_classifier

TEXTS = TokenizedSplit(rows_of([3, 9, 14, 5, 7, 20, 2, 11]), np.arange(8) % 5)


# --- removing ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=FAMILIES)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_classifier(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def pruned(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with zeros in its weights, as the station leaves it."""
    small, whole = classifier(full), classifier(full)
    remove_all_but(small, KEPT)
    put_back(whole, small, KEPT)
    folder = tmp_path_factory.mktemp("pruned")
    whole.save_pretrained(folder)
    KEPT.write(folder)
    return folder


def test_the_checkpoint_of_full_shape_answers_as_the_small_model(full: Path, pruned: Path) -> None:
    small = classifier(full)
    before = sum(p.numel() for p in small.parameters())
    remove_all_but(small, KEPT)
    batch = batch_of(BATCHES["mixed lengths"])

    assert sum(p.numel() for p in small.parameters()) < before
    assert largest_difference(logits(classifier(pruned), *batch), logits(small, *batch)) < TOLERANCE
    # And not as the model that was pruned: what was removed mattered.
    assert largest_difference(logits(classifier(full), *batch), logits(small, *batch)) > 0.05


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES)
def test_our_module_computes_what_is_left_and_answers_as_transformers_does(
    pruned: Path, lengths: tuple[int, ...]
) -> None:
    module = load_module(pruned, "script")
    assert isinstance(module, Encoder)
    batch = batch_of(lengths)
    with torch.inference_mode():
        found = module(*batch)

    assert module.shape.layers == (LayerShape(2, 20), LayerShape(4, 3), LayerShape(1, 40))
    assert module.layers[0].query_key_value.linear.weight.shape == (3 * 8, 16)
    assert largest_difference(found, logits(classifier(pruned), *batch)) < TOLERANCE


def test_its_torchscript_file_answers_the_same(pruned: Path, tmp_path: Path) -> None:
    module = load_module(pruned, "script")
    jit.save(jit.to_torchscript(module, batch_of((4, 2)), script=True), tmp_path / "model.pt")
    loaded = jit.load(tmp_path / "model.pt")
    with torch.inference_mode():
        for lengths in BATCHES.values():
            assert largest_difference(loaded(*batch_of(lengths)), module(*batch_of(lengths))) < TOLERANCE


@pytest.mark.slow
@pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="static int8 needs a processor with AVX-512 VNNI")
def test_static_int8_takes_layers_of_different_sizes(tmp_path: Path) -> None:
    folder = save_tiny_classifier(tmp_path, "bert", hidden_size=64, intermediate_size=128)
    KEPT.write(folder)
    module = load_module(folder, "script")
    assert isinstance(module, Encoder)
    with torch.no_grad():
        for layer in module.layers:
            # Random queries would see one token each: a trained encoder's scores are moderate.
            layer.query_key_value.linear.weight[: layer.heads * 16] *= 0.2
        module.last.query.linear.weight *= 0.2
    rows = rows_of([1 + at % POSITIONS for at in range(200)], seed=3)
    weights = SCHEMES[STATIC].fit(module, Texts(rows, 1), int8_embeddings=False).weights
    static = SCHEMES[STATIC].build(module, weights)
    jit.save(jit.to_torchscript(static, batch_of((4, 2)), script=True), tmp_path / "model.pt")
    loaded = jit.load(tmp_path / "model.pt")

    for lengths in ((11,), (3, 9, 5), (7, 1, 40, 2, 13, 13, 5, 28, 31, 16), (16,) * 8):
        batch = batch_of(lengths)
        with torch.inference_mode():
            wanted, eager, found = module(*batch), static(*batch), loaded(*batch)
        assert largest_difference(found, eager) < 1e-4
        assert (eager - wanted).square().mean().sqrt() < 0.1 * wanted.std()


# --- importance --------------------------------------------------------------------------------------------------


def test_a_head_and_a_neuron_that_change_nothing_score_nothing(full: Path) -> None:
    model = classifier(full)
    with torch.no_grad():
        layers_of(model)[1].attention_output.weight[:, 8:12] = 0  # the third head
        layers_of(model)[2].down.weight[:, 17] = 0
    found = importance_of(model, TEXTS, Collator(1), TASKS[SINGLE_LABEL])

    assert found.heads[1][2] == 0
    assert found.neurons[2][17] == 0
    assert sum(int((scores == 0).sum()) for scores in found.heads) == 1
    assert [len(scores) for scores in found.heads + found.neurons] == [4, 4, 4, 40, 40, 40]


def test_the_score_of_a_neuron_is_the_gradient_of_a_mask_over_it(full: Path) -> None:
    """Against a difference quotient: the loss of each text with the neuron a little weaker."""
    model = classifier(full).double()
    down = layers_of(model)[1].down
    found = importance_of(model, TEXTS, Collator(1), TASKS[SINGLE_LABEL]).neurons[1]

    def losses() -> Tensor:
        batch = Collator(1)([TEXTS[index] for index in range(len(TEXTS))])
        answers = logits(model, batch["input_ids"], batch["attention_mask"])
        return nn.functional.cross_entropy(answers, batch["labels"], reduction="none")

    whole, effects = losses(), []
    for neuron in (3, 21):
        kept = down.weight[:, neuron].clone()
        with torch.no_grad():
            down.weight[:, neuron] *= 1 - 1e-6
        effects.append(((whole - losses()) / 1e-6).abs().sum())
        with torch.no_grad():
            down.weight[:, neuron] = kept

    assert float(found[3] / found[21]) == pytest.approx(float(effects[0] / effects[1]), rel=1e-3)


def scores(seed: int, *sizes: int) -> list[Tensor]:
    return list(torch.rand(sum(sizes), generator=torch.Generator().manual_seed(seed)).split(sizes))


def test_the_least_important_go_and_every_layer_keeps_something() -> None:
    importance = Importance(heads=scores(1, 12, 12, 12), neurons=scores(2, 64, 64, 64))
    importance.heads[1] *= 1e-3
    importance.neurons[0] *= 1e-3
    kept = choose_kept(importance, heads=0.5, neurons=0.5)

    assert [len(layer) for layer in kept.heads][1] == 1
    assert kept.heads[1] == (int(importance.heads[1].argmax()),)
    for scored, left in zip(importance.heads, kept.heads, strict=True):
        gone = sorted(set(range(12)) - set(left))
        assert scored[gone].max() < scored[list(left)].min()
    assert sum(len(layer) for layer in kept.heads) == 18 + 1
    assert [len(layer) for layer in kept.neurons] == [16, 64, 64]  # multiples of 16, the last layer's are spared
    assert min(importance.neurons[0][list(kept.neurons[0])]) >= importance.neurons[0].sort().values[-16]


def test_nothing_goes_where_nothing_is_asked_for() -> None:
    importance = Importance(heads=scores(1, 4, 4), neurons=scores(2, 40, 40))

    assert choose_kept(importance, heads=0.5, neurons=0).neurons == (tuple(range(40)), tuple(range(40)))
    assert choose_kept(importance, heads=0, neurons=0.5).heads == ((0, 1, 2, 3), (0, 1, 2, 3))


# --- magnitude ---------------------------------------------------------------------------------------------------


def test_the_smallest_weights_of_the_whole_model_become_zero(full: Path) -> None:
    model, before = classifier(full), classifier(full)
    with torch.no_grad():
        for each in (model, before):
            layers_of(each)[0].up.weight.mul_(1e-3)  # smaller than all others: global, not layer by layer
    mask = WeightMask.of_smallest(model, share=0.5)
    pairs = [
        (new, dict(before.named_parameters())[name])
        for name, new in model.named_parameters()
        if new.dim() == 2 and "layer." in name
    ]
    others = [name for name, new in model.named_parameters() if not (new.dim() == 2 and "layer." in name)]
    state, was = model.state_dict(), before.state_dict()

    assert all(torch.equal(state[name], was[name]) for name in others)
    assert len(pairs) == 3 * 6
    assert not layers_of(model)[0].up.weight.any()
    zeros = sum(int((new == 0).sum()) for new, _ in pairs)
    assert zeros == mask.zeros == round(0.5 * mask.weights)
    smallest_left = min(new[new != 0].abs().min() for new, _ in pairs if new.any())
    assert max(old[new == 0].abs().max() for new, old in pairs) <= smallest_left


def test_zeros_stay_zero_whatever_the_optimizer_does(full: Path) -> None:
    model = classifier(full)
    mask = WeightMask.of_smallest(model, share=0.5)
    found = WeightMask.of_zeros(model)
    weight = layers_of(model)[0].query.weight
    gone = weight == 0
    with torch.no_grad():
        weight += 1
    mask.on_step_end(None, TrainerState(), TrainerControl())

    assert torch.equal(weight == 0, gone)
    assert found.zeros == mask.zeros


# --- the station -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run up to its student whose teacher has answered the train split."""
    made = tiny_run.trained(tmp_path / "run")
    np.save(made.teacher.logits("train"), np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32))
    write_text(made.student.metrics, stable_json({split: {"accuracy": 0.2} for split in ("validation", "test")}))
    return made


def pruned_by(run: Run, config: MagnitudePruning | StructuredPruning) -> ModelFolder:
    folder = run.model("pruned")
    folder.root.mkdir()
    prune(
        config,
        run.data,
        run.teacher,
        run.student,
        max_length=tiny_run.LONGEST,
        seed=1,
        output=folder.root,
        work=run.root / "work",
    )
    return folder


FEW = {"epochs": 2, "learning_rate": 1e-3, "freeze_word_embeddings": False}


@pytest.mark.slow
def test_a_structured_model_goes_all_the_way_to_torchscript(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pruned_by(run, StructuredPruning(kind="structured", heads=0.5, neurons=0.5, **FEW))
    kept = KeptParts.read(folder.checkpoint)
    assert kept is not None
    assert sum(map(len, kept.heads)) == 6
    metrics = read_json(folder.metrics)
    assert metrics["pruning"]["heads"] == [len(layer) for layer in kept.heads]
    assert metrics["pruning"]["parameters_left"] < metrics["pruning"]["of_parameters"] == metrics["parameters"]
    assert metrics["unpruned"]["test"] == {"accuracy": 0.2}
    assert "heads left in each layer" in capsys.readouterr().err
    trained = load_file(folder.checkpoint / "model.safetensors")
    assert not torch.equal(
        trained["classifier.weight"], load_file(run.student.checkpoint / "model.safetensors")["classifier.weight"]
    )

    for part in (run.compressed.root, run.exported.root):
        part.mkdir()
    compress(CompressionConfig(activations="dynamic"), ExportConfig(), run.data, folder, output=run.compressed.root)
    # Compares the module without the removed parts with the Hugging Face model that has zeros in their place.
    export(ExportConfig(), run.data, folder, run.compressed, max_length=tiny_run.LONGEST, output=run.exported.root)
    assert read_json(run.exported.card)["module"] == "Encoder"
    assert load_file(CompressedFolder(run.compressed.root).cpu)["layers.0.after_attention.up.rows"].shape[0] < 40


@pytest.mark.slow
def test_a_resumed_training_keeps_what_it_began_with(run: Run) -> None:
    chosen = KeptParts(heads=((0,), (1, 2), (3,)), neurons=((7,), (8, 9), tuple(range(40))))
    (run.root / "work").mkdir()
    chosen.write(run.root / "work")
    folder = pruned_by(run, StructuredPruning(kind="structured", **FEW))

    assert KeptParts.read(folder.checkpoint) == chosen


@pytest.mark.slow
def test_weights_pruned_by_magnitude_are_still_zero_after_training(run: Run) -> None:
    folder = pruned_by(run, MagnitudePruning(kind="magnitude", share=0.7, **FEW))
    weights = load_file(folder.checkpoint / "model.safetensors")
    about = read_json(folder.metrics)["pruning"]
    linears = [weight for name, weight in weights.items() if weight.dim() == 2 and "encoder.layer" in name]

    assert sum(int((weight == 0).sum()) for weight in linears) == about["zeros"] == round(0.7 * about["weights"])
    assert KeptParts.read(folder.checkpoint) is None


@pytest.mark.parametrize("remove", [layers_of, lambda model: remove_all_but(model, KEPT)])
def test_another_family_is_refused_with_what_is_possible(remove: Callable[[Any], object]) -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
    model = ElectraForSequenceClassification(
        ElectraConfig(vocab_size=VOCABULARY, embedding_size=16, num_labels=5, **shape)
    )

    families = "bert, roberta, xlm-roberta, camembert, distilbert"
    with pytest.raises(TrainingError, match=rf"{families}, not of electra.*kind: magnitude"):
        remove(model)
