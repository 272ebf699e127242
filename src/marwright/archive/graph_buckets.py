"""The shapes of batches for which a GPU's worker records a CUDA graph, chosen from how long the train rows are.

A batch is padded up to a bucket: to a power of two of texts, and to the length that the longest of so many texts has
half of the time, nine times of ten, and so on. Of one text that is the distribution's own percentile; of 32 the longest
is nearly always near the end of it, so there a bucket for short texts would never be used.
"""

from __future__ import annotations

from collections.abc import Mapping

# How often the longest of a batch's texts fits into the buckets of its size.
SHARES = (0.5, 0.9, 0.99, 1.0)
# Tensor cores and the kernels of attention with a mask want multiples of this.
LENGTH_STEP = 8


def graph_buckets(lengths: Mapping[int, int], batch_size: int, longest: int) -> list[tuple[int, int]]:
    """Choose the buckets.

    Args:
        lengths: how many rows have which number of tokens; at least one row.
        batch_size: the most texts in a batch.
        longest: tokens that the module can take.

    Returns:
        (texts, tokens of each), ascending.
    """
    # Up to the first that is no less than the batch size.
    powers_of_two = [1 << power for power in range((batch_size - 1).bit_length() + 1)]
    return [(texts, length) for texts in powers_of_two for length in _lengths(lengths, texts, longest)]


def _lengths(lengths: Mapping[int, int], texts: int, longest: int) -> list[int]:
    """The lengths that the longest of so many texts has, at each of the shares, rounded up to whole steps."""
    total = sum(lengths.values())
    found = set()
    for share in SHARES:
        below = 0
        for length, count in sorted(lengths.items()):
            below += count
            # All texts of a batch are that short with this probability, if they come as the train rows do.
            if (below / total) ** texts >= share:
                found.add(min(longest, -(-length // LENGTH_STEP) * LENGTH_STEP))
                break
    return sorted(found)
