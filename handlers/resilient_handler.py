"""A TorchServe handler that survives its requests: what every task needs, and nothing of any one task.

A child class says how one instance is read (`prepare`) and how many are answered at once (`predict`). Everything else
is here: the module for the device, threads, warm-up, parsing, one answer per request whatever its neighbours are, and
metrics. The text of a request is never logged.

Files beside this one in the archive: the module(s) with their runtimes, `setup_config.json` and what the child loads in
`setup`. TorchServe's base class would choose device and loader by rules of its own, so neither is left to it.
"""

import json
import logging
import os
import time
import traceback
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from ts.torch_handler.base_handler import BaseHandler

from prediction_failure import PredictionFailure, failure_after, is_out_of_memory
from request_parsing import BadRequest, Request, parse_request

logger = logging.getLogger(__name__)

# Where the request_id of a request comes back. TorchServe has an x-request-id of its own.
REQUEST_ID_HEADER = "X-Client-Request-Id"
SECONDS_BETWEEN_REPORTS = 1.0
MOST_WARM_UP_SIZES = 64


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
        self._counts: dict[str, float] = {}
        self._milliseconds: dict[str, float] = {}
        self._batches = 0
        self._next_report = 0.0
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
        self._counts.clear()
        self._milliseconds.clear()

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
        """Answer a batch: one body per request, in order, each with its own status."""
        with self.phase("ParseTime"):
            requests = [self._parse(item, context, index) for index, item in enumerate(data)]
        examples = [example for request in requests if isinstance(request, Request) for example in request.instances]
        answers = iter(self._predict_separately_if_needed(examples))
        with self.phase("AnswerTime"):
            bodies = [self._respond(request, answers, context, index) for index, request in enumerate(requests)]
        self.count("Requests", len(data))
        self.count("Texts", len(examples))
        self._emit_metrics(context)
        return bodies

    def _parse(self, item: dict[str, Any], context: Any, index: int) -> Request | BadRequest:
        try:
            request = parse_request(item, _content_type(context, index), self.settings["max_instances"])
            if request.request_id is not None:
                context.set_response_header(index, REQUEST_ID_HEADER, request.request_id)
            request.instances = [self._prepare(instance, request, at) for at, instance in enumerate(request.instances)]
        except BadRequest as error:
            self.count("BadItems", 1)
            return error
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
            # The message may quote the text, so only the kind and the place of the error are logged.
            logger.error(  # noqa: TRY400
                "%s while answering %d texts, at\n%s",
                type(error).__name__,
                len(examples),
                "".join(traceback.format_tb(error.__traceback__)),
            )
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

    def _respond(self, request: Request | BadRequest, answers: Iterator[Any], context: Any, index: int) -> bytes:
        context.set_response_content_type(index, "application/json")
        if isinstance(request, BadRequest):
            context.set_response_status(code=400, phrase="Bad Request", idx=index)
            return _json({"code": 400, "type": "BadRequest", "message": str(request)})
        own = [next(answers) for _ in request.instances]
        failure = next((answer for answer in own if isinstance(answer, PredictionFailure)), None)
        if failure is not None:
            context.set_response_status(code=503, phrase="Service Unavailable", idx=index)
            return _json({"code": 503, "type": failure.kind, "message": str(failure)})
        return _json({"predictions": own} if request.many else own[0])

    # --- metrics -----------------------------------------------------------------------------------------------

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to a phase of the batches since the last report, in milliseconds."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._milliseconds[name] = self._milliseconds.get(name, 0.0) + 1000 * (time.perf_counter() - started)

    def count(self, name: str, value: float) -> None:
        """Add to a counter of the batches since the last report."""
        self._counts[name] = self._counts.get(name, 0) + value

    def _emit_metrics(self, context: Any) -> None:
        """Hand the figures since the last time to TorchServe, at most once a second.

        Each is a line that the worker prints and the server parses: for every batch that would cost as much as the
        tokenizer. They are declared in configs/metrics.yaml.
        """
        self._batches += 1
        now = time.monotonic()
        if context.metrics is None or now < self._next_report:
            return
        from ts.metrics.metric_type_enum import MetricTypes

        counts, milliseconds, batches = self._counts, self._milliseconds, self._batches
        self._counts, self._milliseconds, self._batches = {}, {}, 0
        self._next_report = now + SECONDS_BETWEEN_REPORTS
        slots = counts.pop("Slots", 0)
        for name, value in counts.items():
            context.metrics.add_counter(f"Marwright{name}", value)
        gauges = [("BatchTexts", round(counts.get("Texts", 0) / batches, 2), "count")]
        if slots:
            gauges.append(("PaddingShare", round(100 * (1 - counts.get("Tokens", 0) / slots), 1), "percent"))
        gauges += [(name, round(value / batches, 3), "ms") for name, value in milliseconds.items()]
        for name, value, unit in gauges:
            context.metrics.add_metric(f"Marwright{name}", value, unit, metric_type=MetricTypes.GAUGE)


def _device(gpu_id: int | None) -> torch.device:
    """The GPU that TorchServe gives this worker, or else the CPU."""
    return torch.device("cpu") if gpu_id is None or not torch.cuda.is_available() else torch.device("cuda", int(gpu_id))


def _labels(folder: Path) -> dict[str, str]:
    """index_to_name.json, if the archive has one. TorchServe's base would read it in the locale's encoding."""
    file = folder / "index_to_name.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _content_type(context: Any, index: int) -> str:
    """The content type of a request's body, as TorchServe noted it beside the parameter named body."""
    header = context.get_request_header(index, "body") if context.request_processor else None
    return header.get("content-type", "") if isinstance(header, dict) else ""


def _json(value: Any) -> bytes:
    """JSON as bytes: TorchServe would serialise a dict again, with indentation."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ")).encode("utf-8")
