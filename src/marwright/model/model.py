"""A loaded archive: texts in, answers out; or requests in, and out the bytes that TorchServe would answer."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, overload

from marwright.errors import RequestError
from marwright.mar.protocol import Answer
from marwright.model.request import Request
from marwright.model.worker_state import worker_state

Text = str | Mapping[str, Any]
"""A text, or an instance: ``{"text": …}`` or the fields that the archive takes in its place."""


class Answering(Protocol):
    """A handler that is loaded."""

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer a batch."""


class Model:
    """An archive that :func:`marwright.load` has loaded. One batch at a time is computed, from whichever thread."""

    def __init__(self, name: str, answering: Answering, threads: int, batch_size: int, resources: ExitStack) -> None:
        self.name = name
        """The archive's file, for errors."""
        self.batch_size = batch_size
        self._answering = answering
        self._threads = threads
        self._lock = threading.Lock()
        self._close = weakref.finalize(self, resources.close)

    @overload
    def __call__(self, texts: Text, *, top_k: int | None = None, min_confidence: float | None = None) -> Any: ...

    @overload
    def __call__(
        self, texts: Sequence[Text], *, top_k: int | None = None, min_confidence: float | None = None
    ) -> list[Any]: ...

    def __call__(
        self, texts: Text | Sequence[Text], *, top_k: int | None = None, min_confidence: float | None = None
    ) -> Any:
        """Answer a text, or a list of texts.

        Args:
            texts: any number; they are computed in batches of texts that are about as long as each other.
            top_k: labels that are wanted; the archive's own number if not given.
            min_confidence: how probable the best label must be; the archive's own threshold if not given.

        Returns:
            of a text classifier ``{label: probability}``, best first, or ``{"label": None, "predictions": {…}}`` where
            it is not sure enough; of another handler what that answers. For a list a list of these.

        Raises:
            RequestError: a text cannot be answered; the message says which, and why.
        """
        if isinstance(texts, str | Mapping):
            return self([texts], top_k=top_k, min_confidence=min_confidence)[0]
        found = self._sorted(_instances(texts, top_k, min_confidence), self._asked)
        for at, answer in enumerate(found):
            if isinstance(answer, RequestError):
                which = f"text {at} of {len(found)}: " if len(found) > 1 else ""
                raise RequestError(f"{self.name}: {which}{answer}")
        return found

    def each(
        self, texts: Sequence[Text], *, top_k: int | None = None, min_confidence: float | None = None
    ) -> list[Any]:
        """Answer many texts; one that cannot be answered has its :class:`RequestError` in its place and stops no other.

        The arguments and the answers are those of a call. No JSON is written or read on the way, if the archive's own
        Model can do without.

        Raises:
            RequestError: there is one text, and no list of them.
        """
        if isinstance(texts, str | Mapping):
            raise RequestError(f"{self.name}: each() takes a list of texts. For one text call the model itself.")
        predict = getattr(self._answering, "predict", self._asked)
        return self._sorted(_instances(texts, top_k, min_confidence), predict)

    def _sorted(
        self, instances: list[dict[str, Any]], answered: Callable[[list[dict[str, Any]]], list[Any]]
    ) -> list[Any]:
        """Answer instances in batches of about the same length, and give the answers in the order of the instances."""
        self._refuse_if_closed()
        found: list[Any] = [None] * len(instances)
        order = list(range(len(instances)))
        if len(instances) > self.batch_size:
            order.sort(key=lambda at: sum(len(value) for value in instances[at].values() if isinstance(value, str)))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            with self._lock, worker_state(self._threads):
                answers = answered([instances[at] for at in batch])
            for at, answer in zip(batch, answers, strict=True):
                found[at] = answer
        return found

    def _asked(self, instances: list[dict[str, Any]]) -> list[Any]:
        """Answer a batch as requests of one instance each."""
        answers = self._answering.answer([Request(instance, "application/json") for instance in instances])
        parsed = [json.loads(answer.body) for answer in answers]
        return [
            body if answer.status == 200 else RequestError(body["message"])
            for answer, body in zip(answers, parsed, strict=True)
        ]

    def answer(self, requests: Sequence[Request | bytes]) -> list[Answer]:
        """Answer requests as TorchServe would with this archive: status and body of each, in order.

        Args:
            requests: one batch. Bytes are the body of a request without a content type.

        Raises:
            RequestError: the model is closed.
        """
        self._refuse_if_closed()
        asked = [Request(request) if isinstance(request, bytes) else request for request in requests]
        with self._lock, worker_state(self._threads):
            return self._answering.answer(asked)

    def _refuse_if_closed(self) -> None:
        if not self._close.alive:
            raise RequestError(f"{self.name}: this model is closed. Load it again with marwright.load.")

    def close(self) -> None:
        """Remove what was unpacked. A ``with`` block does it at its end, and Python when nobody holds the model."""
        self._close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _instances(texts: Sequence[Text], top_k: int | None, min_confidence: float | None) -> list[dict[str, Any]]:
    settings = {"top_k": top_k, "min_confidence": min_confidence}
    given = {name: value for name, value in settings.items() if value is not None}
    return [given | (dict(text) if isinstance(text, Mapping) else {"text": text}) for text in texts]
