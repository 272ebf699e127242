"""The rules for the numbers of a config.properties: one table, one function each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.keys import SERVER_INTEGERS, SERVER_LONGS
from marwright.checks.lint.server_settings import ServerSettings

_LARGEST_INTEGER, _LARGEST_LONG = (1 << 31) - 1, (1 << 63) - 1
# Double.valueOf, but for hexadecimal numbers.
_JAVA_DECIMAL = re.compile(r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?)")
# What java.time.Instant can still add to this moment, in minutes; TorchServe adds whole seconds.
_SHORTEST_MIN, _LONGEST_MIN = 1 / 60, 5e14
_ENDS, _ENDS_WORKERS = (
    "ends TorchServe as it starts",
    "has workers end at their first request, unless their archives say responseTimeout",
)


@dataclass(frozen=True)
class Bounds:
    """The least and the most that TorchServe works with, what another number does, and when TorchServe reads it."""

    least: int
    most: int
    otherwise: str
    is_read: Callable[[ServerSettings], bool] = lambda _: True


def _nothing_else_says_the_workers(settings: ServerSettings) -> bool:
    return settings.values.get("default_workers_per_model", "0") == "0" and not settings.true("debug")


BOUNDS = {
    "default_workers_per_model": Bounds(0, _LARGEST_INTEGER, _ENDS),
    "default_response_timeout": Bounds(1, _LARGEST_INTEGER, _ENDS_WORKERS),
    "default_startup_timeout": Bounds(1, _LARGEST_INTEGER, "ends each worker before it has loaded its model"),
    "number_of_netty_threads": Bounds(0, _LARGEST_INTEGER, _ENDS),
    "netty_client_threads": Bounds(0, _LARGEST_INTEGER, _ENDS),
    "number_of_gpu": Bounds(0, _LARGEST_INTEGER, _ENDS, _nothing_else_says_the_workers),
    "job_queue_size": Bounds(1, _LARGEST_INTEGER, _ENDS),
    "max_request_size": Bounds(1, _LARGEST_INTEGER, "ends TorchServe, or has it refuse every request"),
    "max_response_size": Bounds(1, _LARGEST_INTEGER, "ends a worker with its first answer"),
    "metric_time_interval": Bounds(1, _LARGEST_INTEGER, _ENDS, lambda own: not own.true("disable_system_metrics")),
    "io_ratio": Bounds(1, 100, _ENDS, lambda own: not own.true("use_native_io", default="true")),
    "grpc_inference_port": Bounds(0, 65535, _ENDS),
    "grpc_management_port": Bounds(0, 65535, _ENDS),
    "grpc_inference_max_connection_age_ms": Bounds(1, _LARGEST_LONG, _ENDS),
    "grpc_management_max_connection_age_ms": Bounds(1, _LARGEST_LONG, _ENDS),
    "grpc_inference_max_connection_age_grace_ms": Bounds(0, _LARGEST_LONG, _ENDS),
    "grpc_management_max_connection_age_grace_ms": Bounds(0, _LARGEST_LONG, _ENDS),
}


def not_a_whole_number(settings: ServerSettings) -> Problems:
    """Java parses the value as it stands, with blanks and comments at its end."""
    for key in sorted((SERVER_INTEGERS | SERVER_LONGS) & settings.known.keys()):
        value = settings.known[key]
        if java_integer(key, value) is None:
            bits = 64 if key in SERVER_LONGS else 32
            reason = (
                f"{key}={value!r} is no number of {bits} bits to Java, and TorchServe ends with a NumberFormatException"
            )
            yield Problem(key, reason, "digits alone: no blank, unit or comment after them")


def number_out_of_bounds(settings: ServerSettings) -> Problems:
    """Java parses it, and what uses it fails."""
    for key, bounds in BOUNDS.items():
        number = java_integer(key, settings.values.get(key, ""))
        if number is not None and not bounds.least <= number <= bounds.most and bounds.is_read(settings):
            most = f" to {bounds.most}" if bounds.most < _LARGEST_INTEGER else " or more"
            cure = f"write {bounds.least}{most}; without the line TorchServe's default counts"
            yield Problem(key, f"{key}={number} {bounds.otherwise}", cure)


def not_a_number(settings: ServerSettings) -> Problems:
    """Java takes decimals here; whatever is none is dropped with a line in the log."""
    value = settings.known.get("token_expiration_min", "60")
    if _java_decimal(value) is None:
        reason = f"token_expiration_min={value!r} is no number to Java, and keys last for 60 minutes"
        yield Problem("token_expiration_min", reason, "minutes, such as 60 or 0.5, without a unit")


def keys_that_never_work(settings: ServerSettings) -> Problems:
    """A key whose time is over as it is written lets nobody in; one that lasts too long cannot be written."""
    minutes = _java_decimal(settings.values.get("token_expiration_min", "60"))
    if minutes is not None and settings.asks_for_tokens and not _SHORTEST_MIN <= minutes <= _LONGEST_MIN:
        what = "ends TorchServe as it starts" if minutes > _LONGEST_MIN else "has every key expired before it is used"
        reason = f"token_expiration_min={settings.values['token_expiration_min']} {what}"
        yield Problem("token_expiration_min", reason, "write the minutes that a key is good for, such as 60")


def java_integer(key: str, value: str) -> int | None:
    """The whole number that Java parses from a value of ``key``; ``None`` where it parses none."""
    if re.fullmatch(r"[+-]?[0-9]{1,19}", value) is None:
        return None
    largest = _LARGEST_LONG if key in SERVER_LONGS else _LARGEST_INTEGER
    return number if -largest - 1 <= (number := int(value)) <= largest else None


def _java_decimal(value: str) -> float | None:
    return float(value.strip().rstrip("fFdD")) if _JAVA_DECIMAL.fullmatch(value.strip()) else None


ERRORS = (not_a_whole_number, number_out_of_bounds, not_a_number, keys_that_never_work)
WARNINGS = ()
