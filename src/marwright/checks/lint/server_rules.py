"""The rules for how a config.properties is written, and what it makes of the machine and of requests."""

from __future__ import annotations

import regex

from marwright.checks.lint.findings import Problem, Problems, key_twice
from marwright.checks.lint.keys import MODEL_KEYS, SERVER_BOOLEANS, SERVER_KEYS, nearest
from marwright.checks.lint.server_number_rules import java_integer
from marwright.checks.lint.server_settings import ServerSettings
from marwright.config import ArchiveConfig
from marwright.formats.torchserve_launcher import LAUNCHER_KEYS
from marwright.formats.utf16 import escaped

METRICS_MODES = ("log", "prometheus", "legacy")
# ts/torch_handler/request_envelope of TorchServe 0.12.
ENVELOPES = ("body", "json", "kserve", "kservev2")
_FIRST_ONLY = ("kserve", "kservev2")
_CURE = 'remove the line: without it {"instances": […]} is read, and KServe\'s path /v1/models/NAME:predict answers'


def not_true_or_false(settings: ServerSettings) -> Problems:
    for key in sorted(SERVER_BOOLEANS & settings.known.keys()):
        if (value := settings.known[key]).lower() not in ("true", "false"):
            yield Problem(key, f"{key}={value!r} counts as false", "the word true or false alone, no blank after it")


def unknown_key(settings: ServerSettings) -> Problems:
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


def models_not_json(settings: ServerSettings) -> Problems:
    try:
        if "models" in settings.known:
            settings.models()
    except ValueError as error:
        cure = 'JSON such as {"NAME": {"1.0": {"marName": "NAME.mar", "minWorkers": 1, "maxWorkers": 1}}}'
        yield Problem("models", f"models cannot be read: {error}", cure)


def unknown_metrics_mode(settings: ServerSettings) -> Problems:
    mode = "".join(settings.known.get("metrics_mode", "log").split()).lower()
    if mode not in METRICS_MODES:
        reason = f"metrics_mode={mode[:60]} is not known to TorchServe, which writes metrics into its log only"
        yield Problem("metrics_mode", reason, f"one of {', '.join(METRICS_MODES)}")


def blacklist_is_no_pattern(settings: ServerSettings) -> Problems:
    """It is a regular expression; what only Java knows begins with a backslash."""
    pattern = settings.known.get("blacklist_env_vars", "")
    try:
        if "\\" not in pattern:
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
    workers = settings.values.get("default_workers_per_model", "0")
    if workers.isdecimal() and int(workers) > settings.cores:
        reason = f"{workers} workers per model fight for {settings.cores} cores, and every answer takes longer"
        yield Problem("default_workers_per_model", reason, f"at most {settings.cores} (or say --cores)")


def asynchronous_logging_too_late(settings: ServerSettings) -> Problems:
    if settings.true("async_logging") and "contextSelector" not in settings.values.get("vmargs", ""):
        reason = "async_logging=true is read when logging has begun, and changes nothing"
        selector = "-Dlog4j2.contextSelector=org.apache.logging.log4j.core.async.AsyncLoggerContextSelector"
        yield Problem("async_logging", reason, f"add to vmargs: {selector}")


def a_log_line_per_request(settings: ServerSettings) -> Problems:
    if "log4j" not in settings.values.get("vmargs", ""):
        reason = "TorchServe's own log configuration writes lines for every request, a sixth of the throughput"
        cure = "name a quieter one: vmargs=-Dlog4j.configurationFile=configs/log4j2.xml (`marwright serve` brings one)"
        yield Problem("vmargs", reason, cure)


def answers_larger_than_the_server_takes(settings: ServerSettings) -> Problems:
    value = java_integer("max_response_size", settings.values.get("max_response_size", ""))
    if value is not None and value <= ArchiveConfig().max_answer_bytes:
        largest = f"{ArchiveConfig().max_answer_bytes:,}"
        reason = f"an archive may answer with {largest} bytes, and an answer of more than {value} ends its worker"
        yield Problem("max_response_size", reason, "write 1048576, or build with a smaller archive.max_answer_bytes")


def read_otherwise_by_the_launcher(settings: ServerSettings) -> Problems:
    for key in LAUNCHER_KEYS:
        to_java, to_launcher = settings.values.get(key, ""), settings.launcher.get(key, "")
        if to_java.split() != to_launcher.split():
            reason = (
                f"TorchServe's launcher reads line by line, and finds {_shown(key, to_launcher)}, "
                f"where a reader of Java's properties finds {_shown(key, to_java)}"
            )
            cure = f"write {key}=VALUE in one line that no backslash leads to, with = and without backslashes"
            yield Problem(key, reason, cure)


def _shown(key: str, value: str) -> str:
    return f"{key}={value[:80]}" if value else f"no {key}"


def service_envelope(settings: ServerSettings) -> Problems:
    """It changes what ``handle`` is given and what becomes of its answers, for all models of a server alike."""
    value = settings.values.get("service_envelope", "")
    if not value:
        return
    if value not in ENVELOPES:
        reason = f"TorchServe has no envelope {value!r}: every worker dies while it loads its model"
    else:
        reason = (
            f"service_envelope={value} stands between TorchServe and every handler: marwright's is given other data "
            "than it reads, and every request gets a 503 or 400"
        )
        if value in _FIRST_ONLY:
            reason += "; of a batch, whoever's handler, only the first request is read"
    yield Problem("service_envelope", reason, _CURE)


def open_inference_protocol(settings: ServerSettings) -> Problems:
    if settings.true("ts_open_inference_protocol"):
        reason = (
            "ts_open_inference_protocol=true opens a call of gRPC whose answers must be KServe's: at any other, "
            "such as marwright's, TorchServe fails and ends the worker"
        )
        cure = "ts_open_inference_protocol=false; Predictions of TorchServe's own service is answered"
        yield Problem("ts_open_inference_protocol", reason, cure)


ERRORS = (
    read_otherwise_by_the_launcher,
    not_true_or_false,
    unknown_key,
    key_twice,
    models_not_json,
    unknown_metrics_mode,
    blacklist_is_no_pattern,
    service_envelope,
    open_inference_protocol,
)
WARNINGS = (
    more_than_ascii,
    more_workers_than_cores,
    asynchronous_logging_too_late,
    a_log_line_per_request,
    answers_larger_than_the_server_takes,
)
