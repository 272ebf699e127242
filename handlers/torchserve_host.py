"""TorchServe as the host of a Model: the only file of an archive that imports TorchServe."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ts.metrics.dimension import Dimension
from ts.metrics.metric_type_enum import MetricTypes
from ts.utils.util import PredictionException

from bad_request import NotOffered
from batch_metrics import BatchMetrics
from model_core import Answer, Model, RawRequest, refused
from request_origin import content_type, is_grpc, wants_description, wants_explanation

# Where the request_id of a request comes back. TorchServe has an x-request-id of its own.
REQUEST_ID_HEADER = "X-Client-Request-Id"
# Over gRPC this header ends a stream of answers; without it TorchServe loses the worker.
STREAM_HEADER = "ts_stream_next"


class TorchServeHost:
    """Loads a Model for a worker, and answers the batches that the worker reads."""

    def __init__(self, handler: Any, context: Any) -> None:
        """Load everything and warm up, as the context says that TorchServe has this worker."""
        about = context.system_properties
        self.model = Model(handler, Path(about["model_dir"]), context.manifest)
        # The tokenizer's own threads would fight the module's for the same cores.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        torch.set_num_threads(handler.settings["threads"])
        _keep_refusals_out_of_log()
        self._metrics = BatchMetrics()
        self.model.load(_device(about.get("gpu_id")), about.get("batch_size") or 1, self._metrics)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Answer a batch, as `ResilientHandler.handle` says."""
        with self._metrics.phase("ParseTime"):
            requests = [self._asked(item, context, index) for index, item in enumerate(data)]
        answers = self.model.answer(requests)
        with self._metrics.phase("AnswerTime"):
            from_grpc = [_respond(answer, context, index) for index, answer in enumerate(answers)]
        self._metrics.end_batch(None if context.metrics is None else MetricsCache(context.metrics))
        if all(from_grpc) and answers and all(answer.refusal for answer in answers):
            raise _refused_batch(answers)
        return [answer.body for answer in answers]

    def _asked(self, item: dict[str, Any], context: Any, index: int) -> RawRequest | Answer:
        if wants_description(context, index):
            return self.model.describe()
        if wants_explanation(context, index):
            self._metrics.count("BadItems", 1)
            return refused(
                NotOffered("This model gives no explanations. POST to /predictions/NAME for its predictions.")
            )
        return RawRequest(item, content_type(context, index, "body" if "body" in item else "data"))


class MetricsCache:
    """TorchServe's metrics of the model."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    # Dimensions of their own: TorchServe's default is one list that all calls, of all threads, append to.

    def add_counter(self, name: str, value: float, label: str = "") -> None:
        """Add to a counter, or to that of a label."""
        self._cache.add_counter(name, value, dimensions=[Dimension("Label", _in_a_metric(label))] if label else [])

    def set_gauge(self, name: str, value: float, unit: str) -> None:
        """Say what a figure is now."""
        self._cache.add_metric(name, value, unit, dimensions=[], metric_type=MetricTypes.GAUGE)


def _in_a_metric(label: str) -> str:
    """A label as TorchServe can read it in the line of a metric, which has `,`, `:`, `|` and `#` between its parts."""
    return " ".join(re.sub(r"[,:|#\s]+", " ", label).split())


class RefusedBatch(PredictionException):
    """Gives a batch a status of its own: 400 becomes INVALID_ARGUMENT, 503 UNAVAILABLE, 413 RESOURCE_EXHAUSTED.

    TorchServe 0.12 drops the status of a single answer over gRPC: the client sees OK, with the error as its body. Only
    a whole batch can be refused. So one is, if nobody else's answer is in it; a request that is asked alone always is.
    """


def _refused_batch(answers: Sequence[Answer]) -> RefusedBatch:
    messages = list(dict.fromkeys(str(answer.refusal) for answer in answers))
    # TorchServe has one message for all; each client must find its own in it.
    shared = "" if len(messages) == 1 else "One of the requests that were read together: "
    return RefusedBatch(shared + "; ".join(messages), max(answer.status for answer in answers))


def _respond(answer: Answer, context: Any, index: int) -> bool:
    """Tell TorchServe of an answer all but its body; whether the request came over gRPC."""
    context.set_response_content_type(index, "application/json")
    if answer.request_id is not None:
        context.set_response_header(index, REQUEST_ID_HEADER, answer.request_id)
    from_grpc = is_grpc(context, index)
    if from_grpc:
        context.set_response_header(index, STREAM_HEADER, "false")
    if answer.refusal is not None:
        context.set_response_status(code=answer.refusal.code, phrase=answer.refusal.phrase, idx=index)
    return from_grpc


def _device(gpu_id: int | None) -> torch.device:
    """The GPU that TorchServe gives this worker, or else the CPU."""
    return torch.device("cpu") if gpu_id is None or not torch.cuda.is_available() else torch.device("cuda", int(gpu_id))


def _keep_refusals_out_of_log() -> None:
    """TorchServe logs an error with its stack when a batch is refused; a client's mistake is no event of the server."""
    logger = logging.getLogger("ts.service")
    if _is_worth_a_line not in logger.filters:
        logger.addFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], RefusedBatch))
