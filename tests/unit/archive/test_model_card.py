"""The card in the archive: key figures for people, and nothing that another build would say otherwise."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from figures_of_a_card import CARD
from marwright.archive.model_card import model_card
from marwright.config import ArchiveConfig
from marwright.mar import layout

LABELS = ["refund", "lost card", "other"]


def card(**settings: Any) -> str:
    return model_card(CARD, LABELS, ArchiveConfig(**settings), sizes={"CPUs": 18_387_978, "GPUs": 23_254_916})


def test_the_card_has_the_figures_a_colleague_asks_for() -> None:
    text = card()

    assert text.startswith("# tickets 1.2\n")
    assert "| accuracy | 92.0% | 92.1% | 93.4% |" in text
    assert "91.0% to 93.0%" in text
    assert "4.1 points off" in text
    assert "89.2%" in text
    assert "18.4 MB for CPUs, 23.3 MB for GPUs; 69.7 MB before compression (int8-static)" in text
    assert "cut at 64 tokens (0.3% of the data's are longer)" in text
    assert "/predictions/tickets" in text
    assert text.rstrip().endswith("- refund\n- lost card\n- other")


def test_an_archive_that_abstains_says_when_and_how() -> None:
    assert '"label": null' not in card()
    assert 'below 0.8, the answer is `{"label": null' in card(min_confidence=0.8)


def test_licences_are_those_that_are_given() -> None:
    assert "Licences" not in card()
    assert "## Licences\n\n- data: CC BY 4.0\n- encoder: Apache 2.0\n" in card(
        licenses=("data: CC BY 4.0", "encoder: Apache 2.0")
    )


def test_of_many_labels_the_first_hundred_are_named() -> None:
    text = model_card(CARD, [f"label {at}" for at in range(250)], ArchiveConfig(), sizes={})

    assert "- label 99\n- and 150 more" in text
    assert "label 100" not in text


def test_another_handler_is_asked_in_its_own_way() -> None:
    assert "curl" not in card(handler=Path("own_handler.py"))
    assert "`own_handler.py`" in card(handler=Path("own_handler.py"))


def test_every_archive_has_one_without_timings(tiny_archive: Path) -> None:
    with zipfile.ZipFile(tiny_archive) as archive:
        text = archive.read(layout.MODEL_CARD).decode("utf-8")

    assert text.startswith("# goods 1.0\n")
    assert not re.search(r"\d ?ms\b", text)
