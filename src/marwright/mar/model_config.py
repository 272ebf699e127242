"""Writes TorchServe's settings for a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import yaml


def model_config(
    *,
    batch_size: int,
    max_batch_delay_ms: int,
    response_timeout_s: int,
    workers: int | None = None,
    device: Literal["cpu", "gpu"] | None = None,
    device_ids: Sequence[int] = (),
) -> str:
    """The text of a ``model-config.yaml``; every number is a number, since TorchServe drops strings silently.

    Without ``workers`` TorchServe starts one per core, or per GPU; without ``device`` it takes a GPU if there is one.
    """
    settings: dict[str, Any] = {"minWorkers": workers, "maxWorkers": workers} if workers else {}
    settings |= {
        "batchSize": batch_size,
        "maxBatchDelay": max_batch_delay_ms,
        "responseTimeout": response_timeout_s,
    }
    if device is not None:
        settings["deviceType"] = device
    if device_ids:
        settings["deviceIds"] = list(device_ids)
    text: str = yaml.safe_dump(settings, sort_keys=False)
    return text
