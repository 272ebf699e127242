"""What GPUs can do by their makers' data sheets, and what a T4 would need for what was measured on another one."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """Published rates: dense float16 products with tensor cores, and memory."""

    tflops: float
    gigabytes_per_s: float
    source: str


T4 = Card(65, 320, "NVIDIA T4 data sheet, 2019")
# Of several cards with one name, the fastest: the upper bound of an estimate is then too high rather than too low.
CARDS = {
    "H200": Card(989, 4800, "NVIDIA H200 data sheet, 2024 (SXM, without sparsity)"),
    "H100": Card(989, 3350, "NVIDIA H100 data sheet, 2023 (SXM, without sparsity)"),
    "A100": Card(312, 2039, "NVIDIA A100 data sheet, 2021 (SXM, 80 GB, without sparsity)"),
    "L4": Card(121, 300, "NVIDIA L4 data sheet, 2023 (without sparsity)"),
    "T4": T4,
}

FORMULA = (
    "An estimate: total - device + device on a T4. Less: the larger of the measured device time and the work at a T4's "
    "full rates, max(operations / 65 TFLOPS, bytes / 320 GB/s). More: the measured device time times the larger ratio "
    "of the two cards' rates. Softmax, top-k and the copy back count as the host's."
)


def card_named(name: str) -> Card | None:
    """The card of a device's name, if it is known here."""
    words = re.split(r"[^A-Za-z0-9]+", name)
    return next((card for known, card in CARDS.items() if known in words), None)


def t4_estimate(
    measured: Card, *, total_ms: float, device_ms: float, operations: float, bytes_read: float
) -> tuple[float, float]:
    """Between which bounds a T4 would answer, in milliseconds, on the same host; see :data:`FORMULA`.

    Args:
        measured: the card that was measured.
        total_ms: from texts to JSON.
        device_ms: of it, the time that the card was busy.
        operations: floating-point operations of the batch's products, two for each weight and token.
        bytes_read: of weights, once for the batch.
    """
    full_rates_ms = 1000 * max(operations / (T4.tflops * 1e12), bytes_read / (T4.gigabytes_per_s * 1e9))
    slower = max(measured.tflops / T4.tflops, measured.gigabytes_per_s / T4.gigabytes_per_s, 1.0)
    host_ms = max(0.0, total_ms - device_ms)
    least, most = max(device_ms, full_rates_ms), max(device_ms * slower, full_rates_ms)
    return round(host_ms + least, 3), round(host_ms + most, 3)
