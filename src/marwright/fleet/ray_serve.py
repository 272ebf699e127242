"""A Ray Serve application around the Model: ``serve run marwright.fleet.ray_serve:app archive=goods.mar``.

One archive is one deployment, which computes and speaks HTTP itself, so that a request makes one hop less.
Several archives, or versions of one, are deployments of their own behind a router.
"""

# No ``annotations`` of the future here: Ray Serve must find the type of the builder's argument, and not its name.

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.exceptions import RayError
from ray.serve import Application
from ray.serve.exceptions import BackPressureError, RayServeException

from marwright.errors import ArchiveError, RequestError
from marwright.fleet.asgi import MOST_BYTES, ServingApp, Version
from marwright.fleet.protocols import refusal
from marwright.fleet.ray_metrics import RayMetrics
from marwright.mar.golden import golden_of
from marwright.mar.reading import describe
from marwright.model import Answer, Request, load

SECONDS_BETWEEN_REPORTS = 1.0
READY_LIMIT_S = 5.0
ROUTER = "router"


class Arguments(BaseModel):
    """What to serve; the rest is set for each deployment in Serve's own configuration."""

    model_config = ConfigDict(extra="forbid")

    archive: Path | None = None
    """The only archive."""
    archives: dict[str, Path | dict[Path, Annotated[float, Field(ge=0)]]] = {}
    """By name a file; or several, versions of one model, each with its share of the requests."""
    min_replicas: int = Field(1, ge=1)
    """Of each archive."""
    max_replicas: int = Field(8, ge=1)
    cpus: float | None = Field(None, ge=0)
    """Of a replica, for Ray to plan with; the threads of the archive if not given."""
    gpus: float = Field(0, ge=0)
    """Of a replica; the archive must have a module for GPUs."""
    most_bytes: int = Field(MOST_BYTES, gt=0)
    """That a request may have."""


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
    def read(cls, file: Path, name: str | None = None) -> "Archive":
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
            # A handler that ends the process says that it can answer nothing any more. Ray replaces this replica.
            self._lost = str(error) if isinstance(error, SystemExit) else ""
            return [refusal(503, "InternalServerException", "Prediction failed")] * len(requests)
        self._metrics.end_batch()
        return answers

    def _prove(self) -> None:
        """Answer a golden request.

        Raises:
            ArchiveError: the answer is another one than was recorded.
        """
        with self._metrics.muted():
            for golden in self._golden:
                answer = self._model.answer([Request(golden.request(), "application/json")])[0]
                said = json.loads(answer.body)
                if answer.status != 200 or (mistake := golden.answer and golden.mistake(said)):
                    raise ArchiveError(f"{self.archive.file}: {mistake if answer.status == 200 else said['message']}")

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


def app(arguments: Arguments) -> Application:
    """Build the application.

    Raises:
        ArchiveError: an archive cannot be read, two of a model have the same version, or there is none.
    """
    if (arguments.archive is None) == (not arguments.archives):
        raise ArchiveError("Say what to serve: archive=FILE.mar, or archives with a file for each name.")
    if arguments.archive is not None:
        return _alone(Archive.read(arguments.archive), arguments)
    files = {name: {files: 1.0} if isinstance(files, Path) else files for name, files in arguments.archives.items()}
    archives = [(Archive.read(file, name), weight) for name, shares in files.items() for file, weight in shares.items()]
    if len(archives) == 1:
        return _alone(archives[0][0], arguments)
    weights: dict[str, dict[str, float]] = {}
    for archive, weight in archives:
        if archive.version in weights.setdefault(archive.model, {}):
            raise ArchiveError(
                f"{archive.file}: another archive of {archive.model} has the version {archive.version} too. "
                "Build it with another archive.version."
            )
        weights[archive.model][archive.version] = weight
    behind = [
        serve.deployment(Replica)
        .options(**_options(archive, arguments, f"{archive.model}-{archive.version}"))
        .bind(archive)
        for archive, _ in archives
    ]
    router = serve.deployment(
        name=ROUTER,
        user_config=weights,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0.1},
        autoscaling_config=_replicas(arguments, 100),
        graceful_shutdown_timeout_s=max(archive.timeout_s for archive, _ in archives),
        max_surge_percent=100,
    )(Router)
    asked = [(archive, one) for (archive, _), one in zip(archives, behind, strict=True)]
    return router.bind(asked, arguments.most_bytes)


def _alone(archive: Archive, arguments: Arguments) -> Application:
    alone = serve.deployment(**_options(archive, arguments, archive.model))(Alone)
    return alone.bind(archive, arguments.most_bytes)


def _options(archive: Archive, arguments: Arguments, name: str) -> dict[str, Any]:
    """Of a deployment that computes."""
    return {
        "name": name,
        "ray_actor_options": {
            "num_cpus": archive.threads if arguments.cpus is None else arguments.cpus,
            "num_gpus": arguments.gpus,
        },
        "autoscaling_config": _replicas(arguments, archive.batch_size),
        # A batch in hand, one that waits, and what is on its way.
        "max_ongoing_requests": max(64, 4 * archive.batch_size),
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": archive.timeout_s,
        # New replicas first: old ones answer until those are ready.
        "max_surge_percent": 100,
    }


def _replicas(arguments: Arguments, target: int) -> dict[str, Any]:
    return {
        "min_replicas": arguments.min_replicas,
        "max_replicas": max(arguments.min_replicas, arguments.max_replicas),
        "target_ongoing_requests": target,
    }
