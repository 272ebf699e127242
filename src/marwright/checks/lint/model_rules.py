"""The rules for a model-config.yaml: one function each, named as the rule is."""

from __future__ import annotations

from marwright.checks.lint.findings import Problem, Problems, key_twice
from marwright.checks.lint.keys import (
    HANDLER_SECTIONS,
    MODEL_BOOLEANS,
    MODEL_CHOICES,
    MODEL_INTEGERS,
    MODEL_KEYS,
    SERVER_KEYS,
    nearest,
)
from marwright.checks.lint.model_settings import ModelSettings, is_java_integer

LONG_DELAY_MS = 100


def zero_batch_delay(settings: ModelSettings) -> Problems:
    if settings.integer("maxBatchDelay", 1) == 0:
        reason = "maxBatchDelay: 0 counts as missing, and a lone request then waits 100 ms for others"
        yield Problem("maxBatchDelay", reason, "maxBatchDelay: 1 is the least")


def not_a_whole_number(settings: ModelSettings) -> Problems:
    for key in MODEL_INTEGERS:
        value = settings.values.get(key)
        if key in settings.values and not is_java_integer(value):
            reason = (
                f"{key}: {value!r} is no whole number of 32 bits to YAML: TorchServe drops it, with a line in its log"
            )
            yield Problem(key, reason, f"write {key}: 16, without quotes, point or unit")


def number_too_small(settings: ModelSettings) -> Problems:
    for key, least in MODEL_INTEGERS.items():
        if (value := settings.integer(key, least)) < least:
            yield Problem(key, f"{key}: {value} is too small, and does not count", f"write {least} or more")


def not_true_or_false(settings: ModelSettings) -> Problems:
    for key in sorted(MODEL_BOOLEANS & settings.values.keys()):
        if not isinstance(value := settings.values[key], bool):
            yield Problem(key, f"{key}: {value!r} is neither true nor false and is dropped", f"write {key}: true")


def unknown_choice(settings: ModelSettings) -> Problems:
    for key, choices in MODEL_CHOICES.items():
        value = settings.values.get(key)
        if key in settings.values and (not isinstance(value, str) or value.lower() not in choices):
            yield Problem(key, f"{key}: {value!r} is not known and is dropped", f"one of {', '.join(choices)}")


def wrong_kind(settings: ModelSettings) -> Problems:
    ids = settings.values.get("deviceIds", [])
    if not isinstance(ids, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
        yield Problem("deviceIds", f"deviceIds: {ids!r} is dropped", "write deviceIds: [0, 1]")
    if not isinstance(run := settings.values.get("torchrun", {}), dict):
        yield Problem("torchrun", f"torchrun: {run!r} is dropped", "write its settings below it, indented")


def misspelt_key(settings: ModelSettings) -> Problems:
    for key in sorted(settings.values.keys() - MODEL_KEYS - HANDLER_SECTIONS):
        if meant := nearest(key, MODEL_KEYS):
            yield Problem(key, f"TorchServe does not know {key} and ignores it", f"you probably mean {meant}")
        elif key in SERVER_KEYS:
            reason = f"{key} is a setting of the server: in a model's configuration it is ignored"
            yield Problem(key, reason, "write it into config.properties")


def min_workers_without_max(settings: ModelSettings) -> Problems:
    least, most = settings.integer("minWorkers", 0), settings.integer("maxWorkers", 0)
    if "minWorkers" in settings.values and least <= 0:
        return  # number_too_small says it: TorchServe takes one worker
    if least > 0 and most < least:
        reason = f"minWorkers: {least} is dropped unless maxWorkers is at least as large"
        yield Problem("minWorkers", reason, f"add maxWorkers: {least}")
    elif most > 0 and least == 0:
        yield Problem("maxWorkers", f"maxWorkers: {most} is dropped without a minWorkers", f"add minWorkers: {most}")


def device_ids_on_the_cpu(settings: ModelSettings) -> Problems:
    if settings.device_ids() and str(settings.values.get("deviceType", "")).lower() == "cpu":
        yield Problem("deviceIds", "deviceIds is ignored with deviceType: cpu", "remove it, or write deviceType: gpu")


def negative_device_id(settings: ModelSettings) -> Problems:
    if any(device < 0 for device in settings.device_ids()):
        reason = "an id below 0 has TorchServe ignore the whole list, as has one that the server does not have"
        yield Problem("deviceIds", reason, "GPUs count from 0: write deviceIds: [0, 1]")


def device_ids_without_workers(settings: ModelSettings) -> Problems:
    """The default number of workers is that of the server's GPUs."""
    if settings.device_ids() and "minWorkers" not in settings.values:
        reason = "without minWorkers there is a worker for each GPU of the server, all of them on those in deviceIds"
        count = len(settings.device_ids())
        yield Problem("deviceIds", reason, f"write minWorkers: {count} and maxWorkers: {count}")


def device_without_a_worker(settings: ModelSettings) -> Problems:
    workers, devices = settings.integer("minWorkers", 0), len(settings.device_ids())
    if 0 < workers < devices:
        reason = f"with minWorkers: {workers} only the first {workers} of {devices} GPUs in deviceIds get a worker"
        yield Problem("deviceIds", reason, f"write minWorkers: {devices} and maxWorkers: {devices}, or fewer devices")


def unknown_key(settings: ModelSettings) -> Problems:
    for key in sorted(settings.values.keys() - MODEL_KEYS - HANDLER_SECTIONS - SERVER_KEYS):
        if nearest(key, MODEL_KEYS) is None:
            reason = f"TorchServe does not know {key} and ignores it; only a handler could read it"
            yield Problem(key, reason, "remove it, or move it below `handler:` if yours reads it")


def workers_left_to_the_server(settings: ModelSettings) -> Problems:
    if settings.threads != 1 and not {"minWorkers", "maxWorkers"} & settings.values.keys():
        reason = "without minWorkers and maxWorkers there is one worker per core, with a thread per core each"
        yield Problem("minWorkers", reason, "write both, such as minWorkers: 1 and maxWorkers: 1")


def response_timeout_reset(settings: ModelSettings) -> Problems:
    if "responseTimeout" not in settings.values:
        reason = "a model-config.yaml without responseTimeout sets it to 120 s, whatever default_response_timeout says"
        yield Problem("responseTimeout", reason, "write it in seconds, such as responseTimeout: 30")


def no_batching(settings: ModelSettings) -> Problems:
    if "batchSize" not in settings.values:
        yield Problem("batchSize", "without batchSize requests are answered one at a time", "write batchSize: 16")


def default_batch_delay(settings: ModelSettings) -> Problems:
    if settings.integer("batchSize", 1) > 1 and "maxBatchDelay" not in settings.values:
        reason = "without maxBatchDelay a lone request waits 100 ms for others"
        yield Problem("maxBatchDelay", reason, "write maxBatchDelay: 1, in milliseconds")


def long_batch_delay(settings: ModelSettings) -> Problems:
    if settings.integer("batchSize", 1) > 1 and (delay := settings.integer("maxBatchDelay", 1)) >= LONG_DELAY_MS:
        reason = f"at low load every request waits {delay} ms for others; an idle worker does not answer sooner"
        yield Problem("maxBatchDelay", reason, "a few milliseconds fill a batch when there is load")


def more_threads_than_cores(settings: ModelSettings) -> Problems:
    workers, threads = settings.integer("maxWorkers", 1), settings.threads or 1
    if workers * threads > settings.cores:
        each = f" of {threads} threads" if threads > 1 else ""
        reason = f"{workers} workers{each} fight for {settings.cores} cores, and every answer takes longer"
        yield Problem("maxWorkers", reason, "workers × threads should not exceed the cores of the server (--cores)")


def answered_without_a_queue(settings: ModelSettings) -> Problems:
    if settings.values.get("asyncCommunication") is True:
        reason = (
            "asyncCommunication: true hands each request to the worker at once: batchSize and the queue's limit do not "
            "count, and an answer with a status of its own fails all that the worker has in hand"
        )
        yield Problem("asyncCommunication", reason, "remove it, unless the handler answers through a loop of its own")


ERRORS = (
    zero_batch_delay,
    not_a_whole_number,
    number_too_small,
    not_true_or_false,
    unknown_choice,
    wrong_kind,
    misspelt_key,
    key_twice,
    min_workers_without_max,
    device_ids_on_the_cpu,
    negative_device_id,
)
WARNINGS = (
    answered_without_a_queue,
    unknown_key,
    workers_left_to_the_server,
    response_timeout_reset,
    no_batching,
    default_batch_delay,
    long_batch_delay,
    more_threads_than_cores,
    device_ids_without_workers,
    device_without_a_worker,
)
