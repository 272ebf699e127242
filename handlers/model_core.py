"""The Model: an archive that is loaded and answers requests. Its host says where they come from and what is counted.

A host is whoever owns the process: TorchServe's worker, a notebook, another server. The task itself, such as text
classification, is a handler that the Model drives: `prepare` reads one instance, `predict` answers many. The text of a
request is never logged.

Files beside this one in the archive: the module(s) with their runtimes, `setup_config.json` and what the handler loads
in `setup`.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from bad_request import BadCall, BadRequest
from prediction_failure import PredictionFailure, failure_after, is_out_of_memory
from request_parsing import Request, parse_request

logger = logging.getLogger(__name__)

MOST_WARM_UP_SIZES = 64
# TorchServe loses a worker that answers with more than max_response_size, of which this is a little less.
MOST_ANSWER_BYTES = 1_000_000
# What an answer in tensors says of the model, and where the manifest says it.
ABOUT = {"model_name": "modelName", "model_version": "modelVersion"}
# What a client needs to know, of setup_config.json.
LIMITS = ("top_k", "min_confidence", "max_instances", "max_characters", "max_answer_bytes")


class RawRequest(NamedTuple):
    """A request as it came in."""

    fields: Mapping[str, Any]
    """`{"body": ...}` with bytes, a text or parsed JSON; or those of a form. Beside them is what stands in the URL of
    `/invocations`; of other paths TorchServe drops it, and so does each other host."""
    content_type: str = ""
    """Of the body, or of the field `data`; empty if the client gave none."""


class Answer(NamedTuple):
    """The body of an answer, which is JSON, and why the request is refused if it is."""

    body: bytes
    refusal: BadRequest | PredictionFailure | None = None
    request_id: str | None = None

    @property
    def status(self) -> int:
        """The status of HTTP."""
        return 200 if self.refusal is None else self.refusal.code


def refused(why: BadRequest | PredictionFailure, request: Request | None = None) -> Answer:
    """The answer to a request that gets none, in the form that its protocol has for errors."""
    in_tensors = isinstance(why, BadCall) or (request is not None and request.call is not None)
    body = {"error": str(why)} if in_tensors else {"code": why.code, "type": why.kind, "message": str(why)}
    return Answer(_json(body), why, None if request is None else request.request_id)


class Unmeasured:
    """Counts nothing."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Time nothing."""
        return nullcontext()

    def count(self, name: str, value: float, label: str = "") -> None:
        """Do nothing."""


class Model:
    """Loads the module, answers batches, and lets a bad request fail alone."""

    def __init__(self, handler: Any, folder: Path, manifest: Any = None) -> None:
        """Read the settings of an unpacked archive.

        The handler has `setup`, `prepare` and `predict` of the task. It gets `folder`, `settings`, `manifest` and
        `mapping`, and `device` and `runtime` when the module is loaded.
        """
        self.handler = handler
        handler.folder = folder
        handler.settings = json.loads((folder / "setup_config.json").read_text(encoding="utf-8"))
        handler.manifest = manifest
        handler.mapping = _labels(folder)
        about = (manifest or {}).get("model", {})
        self._about = {name: about[key] for name, key in ABOUT.items() if key in about}

    def load(self, device: torch.device, batch_size: int = 1, metrics: Any = None) -> None:
        """Load the module made for a device, and warm up; the host has chosen the number of threads before.

        Args:
            device: where it runs.
            batch_size: texts that will be answered at once, at most.
            metrics: has `phase(name)`, a context manager that times a block, and `count(name, value, label)`. They are
                called by whoever calls `answer`, and count nothing while the module warms up.

        Raises:
            RuntimeError: the archive has no module for this device, or this machine cannot run it.
        """
        handler = self.handler
        handler._metrics = self._metrics = Unmeasured()
        handler.device = device
        handler.runtime = self._runtime()
        handler.setup()
        self.warm_up(batch_size)
        if metrics is not None:
            handler._metrics = self._metrics = metrics

    def _runtime(self) -> Any:
        """Load the module made for the device, with the runtime it was made for.

        A runtime is a file with `load(file, settings, device)`; what it returns has `logits(ids, mask)`.
        """
        modules, device = self.handler.settings["modules"], self.handler.device
        if device.type not in modules:
            raise RuntimeError(
                f"This archive has no module for {device.type}: rebuild it with compression.gpu: fp16, or set "
                "deviceType: cpu in its model-config.yaml."
            )
        if device.type == "cuda":
            # Streams, pools and page-locked memory belong to the current device; without this, to the first one.
            torch.cuda.set_device(device)
        module = modules[device.type]
        return import_module(module["runtime"]).load(self.handler.folder / module["file"], module, device)

    def warm_up(self, batch_size: int) -> None:
        """Run the module on the shapes it will meet.

        TorchScript specialises in its first runs, and the kernels for a number of tokens are made when it is first
        seen: batches of every size, each of other texts than the last, meet most of them.
        """
        examples = [self.handler.prepare(instance) for instance in self.handler.settings["warm_up"]]
        start, too_many = 0, batch_size + 1
        for size in (1, 1, 1, batch_size, batch_size, *range(1, min(batch_size, MOST_WARM_UP_SIZES) + 1)):
            if size < too_many and not self._has_memory_for(
                [examples[(start + index) % len(examples)] for index in range(size)]
            ):
                too_many = size
            start += size

    def _has_memory_for(self, examples: list[Any]) -> bool:
        """Answer a batch, if the GPU has the memory for it; one that has none for a single text cannot serve."""
        try:
            self.handler.predict(examples)
        except (RuntimeError, MemoryError) as error:
            if len(examples) == 1 or not is_out_of_memory(error):
                raise
            told = "%s has no memory for %d texts at once: it will split such batches"
            logger.warning(told, self.handler.device, len(examples))
        else:
            return True
        self._free_cached_memory()
        return False

    # --- answering ---------------------------------------------------------------------------------------------

    def describe(self) -> Answer:
        """The limits that a client needs to know."""
        settings = self.handler.settings
        return Answer(_json({name: settings[name] for name in LIMITS if name in settings}))

    def answer(self, requests: Sequence[RawRequest | Answer]) -> list[Answer]:
        """Answer a batch: one answer per request, in order, whatever its neighbours are; one that is there stays."""
        with self._metrics.phase("ParseTime"):
            read = [self._read(request) if isinstance(request, RawRequest) else request for request in requests]
        examples = [example for request in read if isinstance(request, Request) for example in request.instances]
        predicted = iter(self._predict_separately_if_needed(examples))
        with self._metrics.phase("AnswerTime"):
            answers = [self._answered(one, predicted) if isinstance(one, Request) else one for one in read]
        self._metrics.count("Requests", len(requests))
        self._metrics.count("Texts", len(examples))
        return answers

    def predict(self, instances: Sequence[dict[str, Any]]) -> list[Any]:
        """Answer a batch of instances with a JSON value each; or with a `BadRequest`, or a `PredictionFailure`."""
        answers = [self._prepared(instance) for instance in instances]
        places = [at for at, answer in enumerate(answers) if not isinstance(answer, (BadRequest, PredictionFailure))]
        found = self._predict_separately_if_needed([answers[at] for at in places])
        for at, answer in zip(places, found):  # noqa: B905 (strict came with Python 3.10)
            answers[at] = answer
        return answers

    def _prepared(self, instance: dict[str, Any]) -> Any:
        try:
            return self.handler.prepare(instance)
        except BadRequest as error:
            return error
        except Exception as error:
            _log_without_text(error, "reading a text")
            return failure_after(error)

    def _read(self, raw: RawRequest) -> Request | Answer:
        """Read a request; one that cannot be read becomes what its client gets instead."""
        settings, request = self.handler.settings, None
        try:
            fields = settings.get("text", {}).get("fields", ())
            request = parse_request(raw.fields, raw.content_type, settings["max_instances"], fields)
            request.instances = [self._prepare(instance, request, at) for at, instance in enumerate(request.instances)]
        except BadRequest as error:
            self._metrics.count("BadItems", 1)
            return refused(error, request)
        except Exception as error:
            # A handler's mistake with one request must not be all the others'.
            _log_without_text(error, "reading a request")
            return refused(failure_after(error), request)
        return request

    def _prepare(self, instance: dict[str, Any], request: Request, at: int) -> Any:
        try:
            return self.handler.prepare(instance)
        except BadRequest as error:
            where = f"instances[{at}]: " if request.call is None else f"text {at}: "
            raise BadRequest(f"{where if request.many else ''}{error}") from None

    def _predict_separately_if_needed(self, examples: list[Any]) -> list[Any]:
        """Answer all at once; if that fails, halve until what fails stands alone, and gives a failure for an answer."""
        if not examples:
            return []
        try:
            return cast("list[Any]", self.handler.predict(examples))
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
        device = self.handler.device
        if device.type != "cuda":
            return
        try:
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
        except RuntimeError as error:
            # Some errors of a GPU last as long as the process. TorchServe starts another worker in its place.
            raise SystemExit(f"{device} answers nothing any more: {error}") from None

    def _answered(self, request: Request, predicted: Iterator[Any]) -> Answer:
        own = [next(predicted) for _ in request.instances]
        failure = next((one for one in own if isinstance(one, PredictionFailure)), None)
        if failure is not None:
            return refused(failure, request)
        try:
            return Answer(self._body(request, own), None, request.request_id)
        except BadRequest as error:
            self._metrics.count("BadItems", 1)
            return refused(error, request)

    def _body(self, request: Request, answers: list[Any]) -> bytes:
        body = _json(request.answered(answers, self._about))
        most = self.handler.settings.get("max_answer_bytes", MOST_ANSWER_BYTES)
        if len(body) <= most:
            return body
        raise BadRequest(
            f"The answer would have {len(body)} bytes, more than {most}: send fewer instances, or a smaller top_k"
        )


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
