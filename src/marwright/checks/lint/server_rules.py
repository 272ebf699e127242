"""The rules for how a config.properties is written and what it makes of the machine: one function each."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.keys import MODEL_KEYS, SERVER_BOOLEANS, SERVER_INTEGERS, SERVER_KEYS, nearest
from marwright.checks.lint.server_protocol_rules import open_inference_protocol, service_envelope
from marwright.checks.lint.server_settings import ServerSettings, is_from_environment
from marwright.config import ArchiveConfig

# Double.valueOf, but for hexadecimal numbers.
_JAVA_DECIMAL = re.compile(r"[+-]?(?:NaN|Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?)")


def not_a_whole_number(settings: ServerSettings) -> Problems:
    """Java parses the value as it stands, with blanks and comments at its end."""
    for key in sorted(SERVER_INTEGERS & settings.values.keys()):
        value = settings.values[key]
        if not _is_java_integer(value) and not is_from_environment(value):
            reason = (
                f"{key}={value!r} is no number of 32 bits to Java, and TorchServe ends with a NumberFormatException"
            )
            yield Problem(key, reason, "digits alone: no blank, unit or comment after them")


def not_a_number(settings: ServerSettings) -> Problems:
    """Java takes decimals here; whatever is none is dropped with a line in the log."""
    value = settings.values.get("token_expiration_min", "60")
    if not _JAVA_DECIMAL.fullmatch(value.strip()) and not is_from_environment(value):
        reason = f"token_expiration_min={value!r} is no number to Java, and keys last for 60 minutes"
        yield Problem("token_expiration_min", reason, "minutes, such as 60 or 0.5, without a unit")


def not_true_or_false(settings: ServerSettings) -> Problems:
    """Whatever is not the word true is false to Java."""
    for key in sorted(SERVER_BOOLEANS & settings.values.keys()):
        value = settings.values[key]
        if value.lower() not in ("true", "false") and not is_from_environment(value):
            yield Problem(key, f"{key}={value!r} counts as false", "the word true or false alone, no blank after it")


def unknown_key(settings: ServerSettings) -> Problems:
    """TorchServe says nothing of keys it does not know."""
    for key in sorted(settings.values.keys() - SERVER_KEYS):
        reason = f"TorchServe does not know {key} and ignores it"
        if key.startswith("TS_"):
            cure = f"variables of the environment begin with TS_, settings do not: {key.removeprefix('TS_').lower()}"
        elif meant := nearest(key, SERVER_KEYS):
            cure = f"you probably mean {meant}"
        elif meant := nearest(key, MODEL_KEYS):
            cure = f"you probably mean {meant}, which belongs into the archive's model-config.yaml"
        else:
            cure = "remove it"
        yield Problem(key, reason, cure)


def key_twice(settings: ServerSettings) -> Problems:
    """Java takes the last of two."""
    for key in settings.twice:
        yield Problem(key, f"{key} stands there twice, and only the last one counts", "keep one of them")


def models_not_json(settings: ServerSettings) -> Problems:
    """TorchServe does not start with a broken one."""
    if is_from_environment(settings.values.get("models", "")):
        return
    try:
        settings.models()
    except (ValueError, RecursionError) as error:
        cure = 'JSON such as {"NAME": {"1.0": {"marName": "NAME.mar", "minWorkers": 1, "maxWorkers": 1}}}'
        yield Problem("models", f"models cannot be read: {error}", cure)


def settings_under_another_name(settings: ServerSettings) -> Problems:
    """Settings are looked up by the name that a model is loaded under: ``NAME=FILE`` takes those of NAME.

    A file without a name is loaded under the name in its manifest, so then any settings may be the right ones, but for
    those of a file that was given another name.
    """
    loaded = settings.loaded()
    names = {name for name, _ in loaded if name}
    renamed = {PurePosixPath(file).name.removesuffix(".mar") for name, file in loaded if name}
    all_named = loaded and len(names) == len(loaded)
    for name in sorted(_models_or_none(settings).keys() - names):
        if not all_named and name not in renamed:
            continue
        reason = f"load_models loads {', '.join(sorted(names))}: the settings that models has for {name} are ignored"
        cure = "write them into the archive's model-config.yaml, or give both the same name; GET /models/NAME shows it"
        yield Problem("models", reason, cure)


def more_workers_than_cores(settings: ServerSettings) -> Problems:
    """Workers share the cores."""
    workers = settings.values.get("default_workers_per_model", "0")
    if workers.isdecimal() and int(workers) > settings.cores:
        reason = f"{workers} workers per model fight for {settings.cores} cores, and every answer takes longer"
        yield Problem("default_workers_per_model", reason, f"at most {settings.cores} (or say --cores)")


def asynchronous_logging_too_late(settings: ServerSettings) -> Problems:
    """The loggers exist already when TorchServe reads this setting."""
    if settings.true("async_logging") and "contextSelector" not in settings.values.get("vmargs", ""):
        reason = "async_logging=true is read when logging has begun, and changes nothing"
        selector = "-Dlog4j2.contextSelector=org.apache.logging.log4j.core.async.AsyncLoggerContextSelector"
        yield Problem("async_logging", reason, f"add to vmargs: {selector}")


def a_log_line_per_request(settings: ServerSettings) -> Problems:
    """The default logs several lines for each request."""
    if "log4j" not in settings.values.get("vmargs", ""):
        reason = "TorchServe's own log configuration writes lines for every request, a sixth of the throughput"
        cure = "name a quieter one: vmargs=-Dlog4j.configurationFile=configs/log4j2.xml (`marwright serve` brings one)"
        yield Problem("vmargs", reason, cure)


def answers_larger_than_the_server_takes(settings: ServerSettings) -> Problems:
    """The frontend closes the connection to a worker that sends more than it may, and so ends it."""
    value = settings.values.get("max_response_size", "")
    if _is_java_integer(value) and int(value) <= ArchiveConfig().max_answer_bytes:
        largest = f"{ArchiveConfig().max_answer_bytes:,}"
        reason = f"an archive may answer with {largest} bytes, and an answer of more than {value} ends its worker"
        yield Problem("max_response_size", reason, "write 1048576, or build with a smaller archive.max_answer_bytes")


def _is_java_integer(value: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,10}", value) is not None and -(1 << 31) <= int(value) < 1 << 31


def _models_or_none(settings: ServerSettings) -> dict[str, dict[str, dict[str, object]]]:
    try:
        return settings.models()
    except (ValueError, RecursionError):
        return {}  # models_not_json says it


WRITING_ERRORS = (
    not_a_whole_number,
    not_a_number,
    not_true_or_false,
    unknown_key,
    key_twice,
    models_not_json,
    settings_under_another_name,
    service_envelope,
    open_inference_protocol,
)
WRITING_WARNINGS = (
    more_workers_than_cores,
    asynchronous_logging_too_late,
    a_log_line_per_request,
    answers_larger_than_the_server_takes,
)
