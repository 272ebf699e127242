"""The settings that TorchServe 0.12 reads, as its own classes name them, and the one that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from marwright.formats.word_lists import word_lists

# More than there are: each unknown one is compared with all that are known.
MOST_KEYS = 300

# ModelConfig: whole numbers with the least one that is not ignored.
MODEL_INTEGERS = {
    "minWorkers": 1,
    "maxWorkers": 0,
    "batchSize": 1,
    "maxBatchDelay": 0,
    "responseTimeout": 1,
    "startupTimeout": 1,
    "parallelLevel": 0,
    "maxRetryTimeoutInSec": 1,
    "clientTimeoutInMills": 1,
    "jobQueueSize": 1,
    "sequenceMaxIdleMSec": 1,
    "sequenceTimeoutMSec": 1,
    "maxSequenceJobQueueSize": 1,
    "maxNumSequence": 1,
}
MODEL_BOOLEANS = frozenset({"useJobTicket", "continuousBatching", "sequenceBatching", "asyncCommunication", "useVenv"})
MODEL_CHOICES = {"deviceType": ("cpu", "gpu"), "parallelType": ("pp", "tp", "pptp", "custom")}
MODEL_KEYS = frozenset({*MODEL_INTEGERS, *MODEL_BOOLEANS, *MODEL_CHOICES, "deviceIds", "torchrun"})
# Sections that TorchServe leaves to the handlers and helpers it ships.
HANDLER_SECTIONS = frozenset({"handler", "pt2", "dali", "deepspeed", "pippy", "micro_batching"})

_SERVER = word_lists(Path(__file__).with_name("server_keys.txt"))
SERVER_INTEGERS, SERVER_LONGS, SERVER_BOOLEANS = _SERVER["integers"], _SERVER["longs"], _SERVER["booleans"]
SERVER_KEYS = frozenset().union(*_SERVER.values())


def nearest(key: str, known: Iterable[str]) -> str | None:
    """The known key that was probably meant, if there is one: ``batch_size`` is ``batchSize``."""
    if len(key) > 64:
        return None
    plain = {_plain(own): own for own in known}
    close = difflib.get_close_matches(_plain(key), plain, n=1, cutoff=0.8)
    return plain[close[0]] if close else None


def _plain(key: str) -> str:
    return "".join(character for character in key.lower() if character.isalnum())
