"""The padded layout answers as that of real tokens does, and never asks the device for a number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from encoder_cases import BATCHES, FAMILIES, TOLERANCE, batch_of, largest_difference
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.encoder.kept_parts import KeptParts
from marwright.encoder.padded import PaddedLayout
from marwright.runtimes import jit
from tiny_models import save_tiny_classifier


def padded_of(checkpoint: Path) -> Encoder:
    module = load_module(checkpoint, "script")
    assert isinstance(module, Encoder)
    return module.laid_out(PaddedLayout())


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_classifier(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def packed(checkpoint: Path) -> nn.Module:
    return load_module(checkpoint, "script")


@pytest.fixture(scope="module")
def compiled(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[torch.jit.ScriptModule]:
    """The file as a worker on a GPU runs it: optimised once, for any shape."""
    before = torch.jit.set_fusion_strategy([])
    file = tmp_path_factory.mktemp("compiled") / "model.pt"
    jit.save(jit.to_torchscript(padded_of(checkpoint), batch_of((4, 2)), script=True), file)
    yield jit.load(file)
    torch.jit.set_fusion_strategy(before)


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@torch.inference_mode()
def test_it_answers_as_the_packed_encoder_does(
    checkpoint: Path, packed: nn.Module, compiled: torch.jit.ScriptModule, lengths: tuple[int, ...]
) -> None:
    ours = padded_of(checkpoint)
    for seed in range(2):
        ids, mask = batch_of(lengths, seed=seed)
        expected = packed(ids, mask)
        assert largest_difference(ours(ids, mask), expected) < TOLERANCE
        assert largest_difference(compiled(ids, mask), expected) < TOLERANCE


@torch.inference_mode()
def test_an_answer_depends_neither_on_padding_nor_on_texts_that_only_fill_up(checkpoint: Path) -> None:
    ours = padded_of(checkpoint)
    lengths = (7, 1, 13, 2)
    expected = ours(*batch_of(lengths))

    for extra, filler in ((3, 0), (27, 77)):
        assert largest_difference(ours(*batch_of(lengths, extra=extra, filler=filler)), expected) < TOLERANCE
    ids, mask = batch_of(lengths)
    fillers = torch.zeros_like(mask)
    fillers[:, 0] = 1
    filled = ours(torch.cat([ids, torch.zeros_like(ids)]), torch.cat([mask, fillers]))
    assert largest_difference(filled[:4], expected) < TOLERANCE
    assert filled.isfinite().all()


@torch.inference_mode()
def test_a_pruned_checkpoint_has_fewer_heads_and_neurons(tmp_path: Path) -> None:
    checkpoint = save_tiny_classifier(tmp_path, "bert")
    KeptParts(((0, 2), (1,), (0, 1, 3)), (tuple(range(9)), (3, 4), tuple(range(40)))).write(checkpoint)
    ids, mask = batch_of((7, 1, 13))

    module = padded_of(checkpoint)
    assert [layer.heads for layer in (*module.layers, module.last)] == [2, 1, 3]
    assert (
        largest_difference(padded_of(checkpoint)(ids, mask), load_module(checkpoint, "script")(ids, mask)) < TOLERANCE
    )


def test_no_operation_waits_for_a_number_or_has_a_shape_that_depends_on_one(compiled: torch.jit.ScriptModule) -> None:
    operations = {node.kind() for node in compiled.inlined_graph.nodes()}

    assert "aten::scaled_dot_product_attention" in operations
    assert not {node.kind() for node in compiled.inlined_graph.nodes() if list(node.blocks())}
    waiting = {"aten::item", "aten::Int", "aten::Bool", "aten::tolist", "prim::tolist", "aten::is_nonzero", "aten::cpu"}
    depending = {"aten::nonzero", "aten::masked_select", "aten::repeat_interleave", "aten::sort", "aten::unique"}
    assert not operations & (waiting | depending)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@torch.inference_mode()
def test_it_answers_in_float32_when_it_computes_in_16_bits(checkpoint: Path, dtype: torch.dtype) -> None:
    packed = load_module(checkpoint, "script").to(dtype)
    assert isinstance(packed, Encoder)
    ids, mask = batch_of((7, 1, 12))

    assert largest_difference(packed.laid_out(PaddedLayout(dtype))(ids, mask), padded_of(checkpoint)(ids, mask)) < 0.05
