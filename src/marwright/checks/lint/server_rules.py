"""The rules for how a config.properties is written and what it makes of the machine: one function each."""

from __future__ import annotations

import regex

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.keys import MODEL_KEYS, SERVER_BOOLEANS, SERVER_KEYS, nearest
from marwright.checks.lint.server_number_rules import java_integer
from marwright.checks.lint.server_protocol_rules import open_inference_protocol, service_envelope
from marwright.checks.lint.server_settings import ServerSettings, is_from_environment
from marwright.config import ArchiveConfig
from marwright.formats.utf16 import escaped

METRICS_MODES = ("log", "prometheus", "legacy")


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
    except ValueError as error:
        cure = 'JSON such as {"NAME": {"1.0": {"marName": "NAME.mar", "minWorkers": 1, "maxWorkers": 1}}}'
        yield Problem("models", f"models cannot be read: {error}", cure)


def unknown_metrics_mode(settings: ServerSettings) -> Problems:
    """Whatever TorchServe does not know is the mode log, with a line in the log."""
    mode = "".join(settings.values.get("metrics_mode", "log").split()).lower()
    if mode not in METRICS_MODES and not is_from_environment(mode):
        reason = f"metrics_mode={mode[:60]} is not known to TorchServe, which writes metrics into its log only"
        yield Problem("metrics_mode", reason, f"one of {', '.join(METRICS_MODES)}")


def blacklist_is_no_pattern(settings: ServerSettings) -> Problems:
    """It is a regular expression; what only Java knows begins with a backslash."""
    pattern = settings.values.get("blacklist_env_vars", "")
    if "\\" in pattern or is_from_environment(pattern):
        return
    try:
        regex.compile(pattern)
    except regex.error as error:
        reason = f"blacklist_env_vars={pattern[:80]} is no regular expression, and TorchServe ends: {error.msg}"
        yield Problem("blacklist_env_vars", reason, "write one, such as .*PASSWORD.*|.*TOKEN.*")


def more_than_ascii(settings: ServerSettings) -> Problems:
    """Java reads Latin-1 and the launcher UTF-8, so that each sees other characters, or the launcher fails."""
    for key in settings.not_ascii:
        reason = f"{key} has characters beyond ASCII: TorchServe takes each byte of one for a character of its own"
        written = "".join(escaped(one) for one in settings.values[key] if not one.isascii())
        yield Problem(key, reason, f"write \\u and four digits for each, here {written[:60]}")


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
    value = java_integer("max_response_size", settings.values.get("max_response_size", ""))
    if value is not None and value <= ArchiveConfig().max_answer_bytes:
        largest = f"{ArchiveConfig().max_answer_bytes:,}"
        reason = f"an archive may answer with {largest} bytes, and an answer of more than {value} ends its worker"
        yield Problem("max_response_size", reason, "write 1048576, or build with a smaller archive.max_answer_bytes")


WRITING_ERRORS = (
    not_true_or_false,
    unknown_key,
    key_twice,
    models_not_json,
    unknown_metrics_mode,
    blacklist_is_no_pattern,
    service_envelope,
    open_inference_protocol,
)
WRITING_WARNINGS = (
    more_than_ascii,
    more_workers_than_cores,
    asynchronous_logging_too_late,
    a_log_line_per_request,
    answers_larger_than_the_server_takes,
)
