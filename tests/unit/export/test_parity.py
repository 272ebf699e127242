"""Parity: the shapes that are compared, and when an export is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from marwright.errors import ExportError
from marwright.export.parity import Difference, check, check_steady, compare, shape_table
from marwright.pretrained.tokenization import padded

CLS, SEP = 2, 3


def texts(*lengths: int) -> list[list[int]]:
    """Token ids of texts as a tokenizer gives them, [CLS] and [SEP] included."""
    return [[CLS, *range(10, 8 + length), SEP] for length in lengths]


REAL_ROWS = texts(*(5 + (7 * i) % 31 for i in range(200)), 3, 2)
TABLES = {
    "many texts": REAL_ROWS,
    "few texts": texts(9, 4, 6),
    "one text": texts(7),
    "all of one length": texts(*[8] * 40),
    "empty texts": texts(2, 2),
    "a little more than the largest batch": texts(*range(2, 100)),
}


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES.keys())
def test_the_table_has_every_shape_a_server_meets(rows: list[list[int]]) -> None:
    table = shape_table(rows, max_length=128)
    lengths = [[len(row) for row in batch] for batch in table]
    shortest, longest = min(map(len, rows)), max(map(len, rows))

    assert [1] in lengths
    assert [shortest] in lengths
    assert [128] in lengths
    assert any(len(batch) == 4 and len(set(batch)) == 1 for batch in lengths)
    assert any(len(batch) == 16 and {shortest, longest} <= set(batch) for batch in lengths)
    assert any(len(batch) == 16 and min(batch) == shortest and max(batch) == 128 for batch in lengths)
    assert [128] * 16 in lengths
    assert any(len(batch) == 64 and min(batch) == shortest and max(batch) == longest for batch in lengths)


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES.keys())
def test_no_batch_of_the_table_is_longer_than_a_text_can_be(rows: list[list[int]]) -> None:
    limit = max(map(len, rows))

    assert max(len(row) for batch in shape_table(rows, limit) for row in batch) == limit


def test_the_longest_text_begins_and_ends_as_a_real_one() -> None:
    full = next(batch[0] for batch in shape_table(REAL_ROWS, 100) if [len(row) for row in batch] == [100])

    assert (full[0], full[-1]) == (CLS, SEP)
    assert not {CLS, SEP} & set(full[1:-1])


def test_mixed_batches_are_of_many_lengths() -> None:
    mixed = shape_table(REAL_ROWS, 64)[5]

    assert len({len(row) for row in mixed}) > 10


# --- comparing ---------------------------------------------------------------------------------------------------


def counts(ids: Tensor, mask: Tensor) -> Tensor:
    """Two numbers a text: its tokens, and their sum."""
    return torch.stack([mask.sum(1), (ids * mask).sum(1)], dim=1).float()


def test_equal_modules_differ_nowhere() -> None:
    differences = compare(counts, counts, shape_table(REAL_ROWS, 64), filler=0)

    assert [difference.largest for difference in differences] == [0.0] * len(differences)
    check(differences, 1e-9, "anything")


def test_a_difference_is_found_in_the_one_batch_that_has_it() -> None:
    def wrong_for_long_texts(ids: Tensor, mask: Tensor) -> Tensor:
        return counts(ids, mask) + 0.5 * (mask.sum(1, keepdim=True) > 40)

    differences = compare(wrong_for_long_texts, counts, shape_table(REAL_ROWS, 64), filler=0)

    assert {difference.longest for difference in differences if difference.largest > 0} == {64}
    with pytest.raises(ExportError):
        check(differences, 1e-4, "anything")


def test_what_goes_wrong_in_the_second_run_only_is_found() -> None:
    """TorchScript compiles a specialised version after the first."""
    runs = {"before": 0}

    def tires(ids: Tensor, mask: Tensor) -> Tensor:
        runs["before"] += 1
        return counts(ids, mask) + (runs["before"] > 1)

    (difference,) = compare(tires, counts, [texts(4)], filler=0)

    assert difference.largest == 1.0


def test_padding_is_what_the_tokenizer_pads_with() -> None:
    seen = []

    def remembers(ids: Tensor, mask: Tensor) -> Tensor:
        seen.append((ids, mask))
        return counts(ids, mask)

    batch = texts(3, 5)
    compare(remembers, counts, [batch], filler=77)

    assert all(torch.equal(ids, padded(batch, 77)[0]) for ids, _ in seen)
    assert seen[0][0][0].tolist() == [CLS, 10, SEP, 77, 77]
    assert seen[0][1][0].tolist() == [1, 1, 1, 0, 0]


# --- the verdict -------------------------------------------------------------------------------------------------

GOOD, BORDER, BAD = Difference(1, 5, 5, 1e-6), Difference(16, 2, 64, 1e-4), Difference(4, 8, 8, 2e-4)
NOT_A_NUMBER = Difference(64, 1, 30, float("nan"))


def test_differences_up_to_the_tolerance_pass() -> None:
    check([GOOD, BORDER], tolerance=1e-4, what="before quantization")


@pytest.mark.parametrize("bad", [BAD, NOT_A_NUMBER, Difference(1, 5, 5, float("inf"))], ids=["large", "nan", "inf"])
@pytest.mark.parametrize("first", [True, False])
def test_one_large_difference_or_none_at_all_is_refused(bad: Difference, first: bool) -> None:
    with pytest.raises(ExportError):
        check([bad, GOOD] if first else [GOOD, bad], tolerance=1e-4, what="before quantization")


def test_a_module_that_answers_with_nan_is_refused() -> None:
    def broken(ids: Tensor, mask: Tensor) -> Tensor:
        return counts(ids, mask) * float("nan")

    with pytest.raises(ExportError, match="nan"):
        check(compare(broken, counts, [texts(4), texts(3, 9)], filler=0), 1e-4, "before quantization")


def test_a_refusal_shows_every_shape_and_marks_the_bad_ones() -> None:
    with pytest.raises(ExportError) as raised:
        check([GOOD, BORDER, BAD, NOT_A_NUMBER], tolerance=1e-4, what="before quantization")
    headline, *table = str(raised.value).splitlines()

    assert headline.startswith("before quantization: ")
    assert "export.tolerance = 0.0001" in headline
    assert [line.split(maxsplit=2) for line in table] == [
        ["1×5", "1.00e-06"],
        ["16×2–64", "1.00e-04"],
        ["4×8", "2.00e-04", "too large"],
        ["64×1–30", "nan", "too large"],
    ]


def coarse(step: float) -> Callable[[Tensor, Tensor], Tensor]:
    """A module in which the longest text of a batch moves the answers of all."""
    return lambda ids, mask: ids[:, :2].float() / 100 + step * mask.sum(1).max()


@pytest.mark.parametrize(("step", "steady"), [(0.0, True), (1e-4, True), (0.01, False), (float("nan"), False)])
def test_a_module_whose_answers_depend_on_their_neighbours_is_refused_with_the_cure(step: float, steady: bool) -> None:
    module, rows = coarse(step), texts(5, 9, 30)
    alone = torch.cat([module(*padded([row], 0)) for row in rows]).numpy()

    with nullcontext() if steady else pytest.raises(ExportError, match=r"write `compression: \{cpu: fp32\}`"):
        check_steady(module, rows, 0, lambda logits: float(abs(logits - alone).max()))
