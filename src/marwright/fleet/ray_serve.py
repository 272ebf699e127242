"""A Ray Serve application around the Model: ``serve run marwright.fleet.ray_serve:app archive=goods.mar``.

One archive is one deployment, which computes and speaks HTTP itself, so that a request makes one hop less.
Several archives, or versions of one, are deployments of their own behind a router.
"""

# No ``annotations`` of the future here: Ray Serve must find the type of the builder's argument, and not its name.

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application

from marwright.errors import ArchiveError
from marwright.fleet.asgi import MOST_BYTES
from marwright.fleet.ray_replicas import Alone, Archive, Replica, Router

ROUTER = "router"
# Requests are counted; a line for each would cost as much as many an answer.
QUIET = {"enable_access_log": False}


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
    behind = []
    for archive, _ in archives:
        options = _options(archive, arguments, f"{archive.model}-{archive.version}")
        behind.append((archive, serve.deployment(**options)(Replica).bind(archive)))
    router = serve.deployment(
        name=ROUTER,
        logging_config=QUIET,
        user_config=weights,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0.1},
        autoscaling_config=_replicas(arguments, 100),
        graceful_shutdown_timeout_s=max(archive.timeout_s for archive, _ in archives),
        max_surge_percent=100,
    )(Router)
    return router.bind(behind, arguments.most_bytes)


def _alone(archive: Archive, arguments: Arguments) -> Application:
    alone = serve.deployment(**_options(archive, arguments, archive.model))(Alone)
    return alone.bind(archive, arguments.most_bytes)


def _options(archive: Archive, arguments: Arguments, name: str) -> dict[str, Any]:
    """Of a deployment that computes."""
    return {
        "name": name,
        "logging_config": QUIET,
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
