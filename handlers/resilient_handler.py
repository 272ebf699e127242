"""A TorchServe handler that survives its requests: what every task needs, and nothing of any one task.

A child class says how one instance is read (`prepare`) and how many are answered at once (`predict`). Everything else
is here: the module for the device, threads, warm-up, parsing, one answer per request whatever its neighbours are, and
metrics. The text of a request is never logged.

Files beside this one in the archive: the module(s) with their runtimes, `setup_config.json` and what the child loads in
`setup`. TorchServe's base class would choose device and loader by rules of its own, so neither is left to it.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from ts.torch_handler.base_handler import BaseHandler

from batch_metrics import BatchMetrics
from prediction_failure import PredictionFailure, failure_after, is_out_of_memory
from refused_batch import keep_out_of_log, refused_batch
from request_origin import content_type, is_grpc, wants_description, wants_explanation
from request_parsing import BadRequest, NotOffered, Request, parse_request

logger = logging.getLogger(__name__)

# Where the request_id of a request comes back. TorchServe has an x-request-id of its own.
REQUEST_ID_HEADER = "X-Client-Request-Id"
# Over gRPC this header ends a stream of answers; without it TorchServe loses the worker.
STREAM_HEADER = "ts_stream_next"
MOST_WARM_UP_SIZES = 64
# TorchServe loses a worker that answers with more than max_response_size, of which this is a little less.
MOST_ANSWER_BYTES = 1_000_000
# What a client needs to know, of setup_config.json.
LIMITS = ("top_k", "min_confidence", "max_instances", "max_characters", "max_answer_bytes")


class ResilientHandler(BaseHandler):
    """Loads the module, answers batches, and lets a bad request fail alone."""

    def setup(self) -> None:
        """Load what the task needs from `self.folder`; the module is already in `self.runtime`."""

    @abstractmethod
    def prepare(self, instance: dict[str, Any]) -> Any:
        """Check one instance and return what `predict` takes. Raises `BadRequest` if it cannot be answered."""

    @abstractmethod
    def predict(self, examples: list[Any]) -> list[Any]:
        """Answer prepared instances, from any number of requests, with one JSON value each."""

    # --- loading -----------------------------------------------------------------------------------------------

    def initialize(self, context: Any) -> None:
        """Load everything and warm up; TorchServe calls this once before the worker is READY."""
        self.folder = Path(context.system_properties["model_dir"])
        self.settings = json.loads((self.folder / "setup_config.json").read_text(encoding="utf-8"))
        # The tokenizer's own threads would fight the module's for the same cores.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        torch.set_num_threads(self.settings["threads"])
        keep_out_of_log()
        self._metrics = BatchMetrics()
        self.device = _device(context.system_properties.get("gpu_id"))
        self.manifest = context.manifest
        self.mapping = _labels(self.folder)
        self.runtime = self._load_runtime()
        self.setup()
        self._warm_up(context)

    def _load_runtime(self) -> Any:
        """Load the module made for this worker's device, with the runtime it was made for.

        A runtime is a file with `load(file, settings, device)`; what it returns has `logits(ids, mask)`.
        """
        modules = self.settings["modules"]
        if self.device.type not in modules:
            raise RuntimeError(
                f"This archive has no module for {self.device.type}: rebuild it with compression.gpu: fp16, or set "
                "deviceType: cpu in its model-config.yaml."
            )
        if self.device.type == "cuda":
            # Streams, pools and page-locked memory belong to the current device; without this, to the first one.
            torch.cuda.set_device(self.device)
        module = modules[self.device.type]
        return import_module(module["runtime"]).load(self.folder / module["file"], module, self.device)

    def _warm_up(self, context: Any) -> None:
        """Run the module on the shapes it will meet.

        TorchScript specialises in its first runs, and the kernels for a number of tokens are made when it is first
        seen: batches of every size, each of other texts than the last, meet most of them.
        """
        examples = [self.prepare(instance) for instance in self.settings["warm_up"]]
        full = context.system_properties.get("batch_size") or 1
        start, too_many = 0, full + 1
        for size in (1, 1, 1, full, full, *range(1, min(full, MOST_WARM_UP_SIZES) + 1)):
            if size < too_many and not self._has_memory_for(
                [examples[(start + index) % len(examples)] for index in range(size)]
            ):
                too_many = size
            start += size
        self._metrics.forget_batch()

    def _has_memory_for(self, examples: list[Any]) -> bool:
        """Answer a batch, if the GPU has the memory for it; one that has none for a single text cannot serve."""
        try:
            self.predict(examples)
        except (RuntimeError, MemoryError) as error:
            if len(examples) == 1 or not is_out_of_memory(error):
                raise
            logger.warning(
                "%s has no memory for %d texts at once: it will split such batches", self.device, len(examples)
            )
        else:
            return True
        self._free_cached_memory()
        return False

    # --- answering ---------------------------------------------------------------------------------------------

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Answer a batch: one body per request, in order, each with its own status.

        Raises:
            RefusedBatch: all came over gRPC and none has an answer, which is how their clients see it.
        """
        with self.phase("ParseTime"):
            requests = [self._parse(item, context, index) for index, item in enumerate(data)]
        examples = [example for request in requests if isinstance(request, Request) for example in request.instances]
        answers = iter(self._predict_separately_if_needed(examples))
        with self.phase("AnswerTime"):
            answered = [self._answered(request, answers) for request in requests]
            bodies = [self._respond(one, context, index) for index, one in enumerate(answered)]
        self.count("Requests", len(data))
        self.count("Texts", len(examples))
        self._metrics.end_batch(context.metrics)
        refusals = [one for one in answered if not isinstance(one, bytes)]
        if data and len(refusals) == len(data) and all(is_grpc(context, index) for index in range(len(data))):
            raise refused_batch(refusals)
        return bodies

    def _parse(
        self, item: dict[str, Any], context: Any, index: int
    ) -> Request | BadRequest | PredictionFailure | bytes:
        """Read a request; what cannot be read, or needs no prediction, becomes what its client gets instead."""
        if wants_description(context, index):
            return _json({name: self.settings[name] for name in LIMITS if name in self.settings})
        if wants_explanation(context, index):
            self.count("BadItems", 1)
            return NotOffered("This model gives no explanations. POST to /predictions/NAME for its predictions.")
        try:
            about = content_type(context, index, "body" if "body" in item else "data")
            fields = self.settings.get("text", {}).get("fields", ())
            request = parse_request(item, about, self.settings["max_instances"], fields)
            if request.request_id is not None:
                context.set_response_header(index, REQUEST_ID_HEADER, request.request_id)
            request.instances = [self._prepare(instance, request, at) for at, instance in enumerate(request.instances)]
        except BadRequest as error:
            self.count("BadItems", 1)
            return error
        except Exception as error:
            # A child's mistake with one request must not be all the others'.
            _log_without_text(error, "reading a request")
            return failure_after(error)
        return request

    def _prepare(self, instance: dict[str, Any], request: Request, at: int) -> Any:
        try:
            return self.prepare(instance)
        except BadRequest as error:
            raise BadRequest(f"instances[{at}]: {error}" if request.many else str(error)) from None

    def _predict_separately_if_needed(self, examples: list[Any]) -> list[Any]:
        """Answer all at once; if that fails, halve until what fails stands alone, and gives a failure for an answer."""
        if not examples:
            return []
        try:
            return self.predict(examples)
        except Exception as error:
            _log_without_text(error, f"answering {len(examples)} texts")
            failure = failure_after(error)
        self._free_cached_memory()
        if len(examples) == 1:
            return [failure]
        middle = len(examples) // 2
        return self._predict_separately_if_needed(examples[:middle]) + self._predict_separately_if_needed(
            examples[middle:]
        )

    def _free_cached_memory(self) -> None:
        """Give back what the GPU's allocator keeps; call it where no error is handled, or its stack keeps tensors."""
        if self.device.type != "cuda":
            return
        try:
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
        except RuntimeError as error:
            # Some errors of a GPU last as long as the process. TorchServe starts another worker in its place.
            raise SystemExit(f"{self.device} answers nothing any more: {error}") from None

    def _answered(
        self, request: Request | BadRequest | PredictionFailure | bytes, answers: Iterator[Any]
    ) -> bytes | BadRequest | PredictionFailure:
        """The body of a request's answer, or why it has none."""
        if not isinstance(request, Request):
            return request
        own = [next(answers) for _ in request.instances]
        failure = next((answer for answer in own if isinstance(answer, PredictionFailure)), None)
        if failure is not None:
            return failure
        body = _json({"predictions": own} if request.many else own[0])
        most = self.settings.get("max_answer_bytes", MOST_ANSWER_BYTES)
        if len(body) <= most:
            return body
        self.count("BadItems", 1)
        return BadRequest(
            f"The answer would have {len(body)} bytes, more than {most}: send fewer instances, or a smaller top_k"
        )

    def _respond(self, answer: bytes | BadRequest | PredictionFailure, context: Any, index: int) -> bytes:
        context.set_response_content_type(index, "application/json")
        if is_grpc(context, index):
            context.set_response_header(index, STREAM_HEADER, "false")
        if isinstance(answer, bytes):
            return answer
        context.set_response_status(code=answer.code, phrase=answer.phrase, idx=index)
        return _json({"code": answer.code, "type": answer.kind, "message": str(answer)})

    # --- metrics -----------------------------------------------------------------------------------------------

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Add the time of a block to a phase of the batch, in milliseconds."""
        return self._metrics.phase(name)

    def count(self, name: str, value: float) -> None:
        """Add to a counter of the batch."""
        self._metrics.count(name, value)


def _device(gpu_id: int | None) -> torch.device:
    """The GPU that TorchServe gives this worker, or else the CPU."""
    return torch.device("cpu") if gpu_id is None or not torch.cuda.is_available() else torch.device("cuda", int(gpu_id))


def _labels(folder: Path) -> dict[str, str]:
    """index_to_name.json, if the archive has one. TorchServe's base would read it in the locale's encoding."""
    file = folder / "index_to_name.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _log_without_text(error: Exception, doing: str) -> None:
    """Log the kind and the place of an error: its message may quote the text."""
    stack = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s while %s, at\n%s", type(error).__name__, doing, stack)


def _json(value: Any) -> bytes:
    """JSON as bytes: TorchServe would serialise a dict again, with indentation."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ")).encode("utf-8")
