"""Batches in a few fixed shapes: which of them one fits into, and how it is laid out there."""

from __future__ import annotations

import torch

Bucket = tuple[int, int]
"""Texts, and tokens of each."""


class Buckets:
    """Finds the smallest bucket that a batch fits into."""

    def __init__(self, buckets: list[Bucket]) -> None:
        # The cheapest first; of two that cost the same, the one with fewer rows to fill up.
        self.buckets = sorted(buckets, key=lambda bucket: (bucket[0] * bucket[1], bucket[0]))

    def fitting(self, texts: int, length: int) -> Bucket | None:
        """The cheapest bucket for so many texts of up to so many tokens; none if they fit into none."""
        return next((one for one in self.buckets if texts <= one[0] and length <= one[1]), None)


class Staging:
    """Where batches wait for the device: one buffer on the host and its like on the device, which all buckets share.

    The host's is page-locked where the device is a GPU, so that one copy takes ids and mask over without waiting.
    """

    def __init__(self, buckets: list[Bucket], device: torch.device) -> None:
        places = 2 * max((texts * length for texts, length in buckets), default=0)
        host = torch.zeros(places, dtype=torch.int64, pin_memory=device.type == "cuda")
        there = torch.zeros(places, dtype=torch.int64, device=device)
        self._host = {bucket: _view(host, bucket) for bucket in buckets}
        self._device = {bucket: _view(there, bucket) for bucket in buckets}

    def send(self, bucket: Bucket, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Fill a bucket with a batch that fits into it, int64 of (texts, longest) each, and copy it to the device.

        Returns:
            (2, texts, length) int64 of the whole bucket on the device: ids and mask, always in the same place. It holds
            the batch until the next one is sent, which must not happen before the device has read this one.
        """
        host, texts, longest = self._host[bucket], ids.size(0), ids.size(1)
        host.zero_()
        # Texts that only fill up have one token: attention to none at all would be no number.
        host[1, :, 0] = 1
        host[0, :texts, :longest] = ids
        host[1, :texts, :longest] = mask
        return self._device[bucket].copy_(host, non_blocking=True)


def _view(flat: torch.Tensor, bucket: Bucket) -> torch.Tensor:
    texts, length = bucket
    return flat[: 2 * texts * length].view(2, texts, length)
