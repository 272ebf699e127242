"""What runs in the processes of Ray Serve: replicas that compute, and a router that asks them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException

from marwright.errors import ArchiveError, RequestError
from marwright.fleet.asgi import ServingApp, Version
from marwright.fleet.protocols import refusal
from marwright.fleet.ray_metrics import RayMetrics
from marwright.mar.golden import GoldenRequest, golden_of
from marwright.mar.reading import describe
from marwright.model import Answer, Model, Request, load

SECONDS_BETWEEN_REPORTS = 1.0
READY_LIMIT_S = 5.0


@dataclass(frozen=True)
class Archive:
    """What an archive says of how it wants to be served."""

    file: str
    model: str
    version: str
    batch_size: int
    delay_s: float
    timeout_s: float
    threads: int
    fields: tuple[str, ...]

    @classmethod
    def read(cls, file: Path, name: str | None = None) -> Archive:
        """Look into an archive.

        Raises:
            ArchiveError: it cannot be read, or is none of marwright's.
        """
        about = describe(file)
        model, settings, setup = about["manifest"]["model"], about["model_config"] or {}, about["setup"]
        try:
            return cls(
                file=str(file.resolve()),
                model=name or model["modelName"],
                version=str(model["modelVersion"]),
                batch_size=settings["batchSize"],
                delay_s=settings["maxBatchDelay"] / 1000,
                timeout_s=settings["responseTimeout"],
                threads=setup["threads"],
                fields=tuple(setup.get("text", {}).get("fields") or ()),
            )
        except (KeyError, TypeError) as error:
            raise ArchiveError(f"{file}: not an archive of `marwright build`, so Ray Serve cannot run it.") from error


def prove(model: Model, golden: Sequence[GoldenRequest]) -> None:
    """Have a model answer golden requests.

    Raises:
        ArchiveError: an answer is another one than was recorded.
    """
    for one in golden:
        answer = model.answer([Request(one.request(), "application/json")])[0]
        said = json.loads(answer.body)
        if answer.status != 200:
            raise ArchiveError(f"{model.name}: it does not answer a golden request: {said.get('message', said)}")
        if one.answer and (mistake := one.mistake(said)):
            raise ArchiveError(f"{model.name}: it does not answer as it was built: {mistake}")


class Replica:
    """Loads an archive and answers its requests in batches, all in one thread of their own."""

    def __init__(self, archive: Archive) -> None:
        # The tokenizer's own threads would fight the module's for the same cores.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.archive = archive
        self._metrics = RayMetrics(archive.model, archive.version)
        self._model = load(archive.file, batch_size=archive.batch_size, metrics=self._metrics)
        self._golden = golden_of(Path(archive.file))[:1]
        self._thread = ThreadPoolExecutor(1, "model")
        self._is_report_due = False
        self._lost = ""
        self._in_batches = serve.batch(max_batch_size=archive.batch_size, batch_wait_timeout_s=archive.delay_s)(
            self._answer
        )
        self._prove()

    async def answer(self, request: Request) -> Answer:
        """Answer a request, together with others."""
        answer: Answer = await self._in_batches(request)
        return answer

    async def _answer(self, requests: list[Request]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._thread, self._computed, requests)
        if not self._is_report_due:
            self._is_report_due = True
            loop.call_later(SECONDS_BETWEEN_REPORTS, self._report)
        return answers

    def _report(self) -> None:
        self._is_report_due = False
        self._thread.submit(self._metrics.report)

    def _computed(self, requests: Sequence[Request]) -> list[Answer]:
        try:
            answers = self._model.answer(requests)
        except (RequestError, SystemExit) as error:
            if isinstance(error, SystemExit):
                # The handler says that it can answer nothing any more, as with a broken GPU: Ray replaces this replica.
                self._lost = str(error)
            return [refusal(503, "InternalServerException", "Prediction failed")] * len(requests)
        self._metrics.end_batch()
        return answers

    def _prove(self) -> None:
        with self._metrics.muted():
            prove(self._model, self._golden)

    async def check_health(self) -> None:
        """Raise if this replica must be replaced; Ray asks now and then."""
        if self._lost:
            raise RuntimeError(self._lost)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._prove)

    async def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return not self._lost


@serve.ingress()
class Alone(Replica):
    """A replica that speaks HTTP itself."""

    def __init__(self, archive: Archive, most_bytes: int) -> None:
        super().__init__(archive)
        version = Version(archive.version, self.answer, self.is_ready, archive.fields)
        self._app = ServingApp({archive.model: [version]}, most_bytes)

    def __serve_build_asgi_app__(self) -> ServingApp:
        return self._app


@serve.ingress()
class Router:
    """Speaks HTTP, and asks the replicas of the version that a request is for."""

    def __init__(self, archives: Sequence[tuple[Archive, Any]], most_bytes: int) -> None:
        """Answer for archives.

        Args:
            archives: each with the handle of its deployment.
            most_bytes: that a request may have.
        """
        models: dict[str, list[Version]] = {}
        for archive, handle in archives:
            version = Version(archive.version, _asking(archive.model, handle), _looking(handle), archive.fields)
            models.setdefault(archive.model, []).append(version)
        self._app = ServingApp(models, most_bytes)

    def reconfigure(self, weights: Mapping[str, Mapping[str, float]]) -> None:
        """Divide requests by these weights, by model and version, from now on; nothing is started anew for that."""
        for model, shares in weights.items():
            self._app.split(model, shares)

    def __serve_build_asgi_app__(self) -> ServingApp:
        return self._app


def _asking(model: str, handle: Any) -> Callable[[Request], Awaitable[Answer]]:
    async def ask(request: Request) -> Answer:
        try:
            answer: Answer = await handle.answer.remote(request)
        except BackPressureError:
            return refusal(503, "ServiceUnavailableException", f"Too many requests wait for {model}")
        except (RayError, RayServeException):
            return refusal(503, "InternalServerException", "The replica that had this request was lost")
        return answer

    return ask


def _looking(handle: Any) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        try:
            ready: bool = await asyncio.wait_for(handle.is_ready.remote(), READY_LIMIT_S)
        except (RayError, RayServeException, TimeoutError):
            return False
        return ready

    return look
