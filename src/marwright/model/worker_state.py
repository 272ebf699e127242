"""What TorchServe's worker has to itself and a program shares: the number of PyTorch's threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

TOKENIZERS = "TOKENIZERS_PARALLELISM"


@contextmanager
def worker_state(threads: int) -> Iterator[None]:
    """Compute on as many threads as the archive's worker does, and give the program its own number back.

    So answers are the worker's to the last digit, and a handler may change what it believes to be its own process.
    """
    import torch

    before, parallel = torch.get_num_threads(), os.environ.get(TOKENIZERS)
    if before != threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
        if os.environ.get(TOKENIZERS) != parallel:
            if parallel is None:
                del os.environ[TOKENIZERS]
            else:
                os.environ[TOKENIZERS] = parallel
