"""The processes that ``accelerate launch`` starts: one of them is the main one, and they can wait for each other."""

from __future__ import annotations

import os


def is_main() -> bool:
    """Whether this process speaks to the user and writes results; alone, it does."""
    return int(os.environ.get("RANK", "0")) == 0


def are_many() -> bool:
    """Whether other processes work on the same build."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def wait_for_all() -> None:
    """Go on only when every process has come here."""
    if are_many():
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available()).wait_for_everyone()
