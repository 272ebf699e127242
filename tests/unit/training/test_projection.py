"""Word embeddings at another width."""

from __future__ import annotations

import torch

from marwright.training.projection import at_width

WORDS = torch.randn(200, 24, generator=torch.Generator().manual_seed(0)) * torch.linspace(2, 0.1, 24)


def test_narrower_embeddings_keep_as_much_as_any_could() -> None:
    best = torch.linalg.svdvals(WORDS)[:8].square().sum()

    assert at_width(WORDS, 8).shape == (200, 8)
    torch.testing.assert_close(at_width(WORDS, 8).square().sum(), best)


def test_words_stay_as_near_to_each_other_as_they_were() -> None:
    flat = torch.nn.functional.pad(WORDS[:, :8], (0, 16))

    narrow = at_width(flat, 8)
    torch.testing.assert_close(torch.cdist(narrow, narrow), torch.cdist(flat, flat), atol=0.01, rtol=0)


def test_wider_embeddings_are_the_same_with_zeros_behind() -> None:
    wider = at_width(WORDS, 30)

    assert torch.equal(wider[:, :24], WORDS)
    assert not wider[:, 24:].any()
