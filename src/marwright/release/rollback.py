"""Back to the version before, within a second; and the end of versions that are not wanted any more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marwright.console.progress import say
from marwright.errors import ServerError
from marwright.release.draining import drained
from marwright.release.live_server import LiveServer
from marwright.release.store import Store
from marwright.server.versions import Versions


@dataclass(frozen=True)
class Rollback:
    """Which version is the default again, which was, and the archive that a restart serves (``None``: not known)."""

    model: str
    default: str
    instead_of: str
    in_sight: Path | None


def roll_back(model: str, server: LiveServer) -> Rollback:
    """Make the version before the last rollout the default again; the newer one stays registered.

    Raises:
        ServerError: no rollout of this model is noted in the store, the previous version is retired or has no worker
            that is ready, or the server cannot be asked.
    """
    versions, store = Versions(server, model), Store(server.model_store, model)
    with store.alone():
        now, noted = versions.default(), store.recall()
        if noted is None or noted[1] != now.name:
            raise ServerError(
                f"{model} {now.name} has no version to go back to: no rollout of it is noted in the store."
            )
        previous = versions.get(noted[0])
        if previous is None or not previous.ready:
            raise ServerError(
                f"{model} {noted[0]} is retired: bring it back with `marwright rollout {store.archive(noted[0])}`."
            )
        versions.make_default(previous.name)
        in_sight = store.put_in_sight(previous.name)
        store.forget()
        if in_sight is None:
            say(
                f"{store.in_sight()} is not {model} {previous.name}, and a restart would serve it: put the archive of "
                f"{previous.name} in its place"
            )
        return Rollback(model, previous.name, now.name, in_sight)


def retire(model: str, server: LiveServer) -> dict[str, Path | None]:
    """End every version of a model that is not the default one, once it has answered what it still has.

    Returns:
        the versions that were ended, each with the archive that the store keeps of it, if it does.

    Raises:
        ServerError: a version is still asked by its path, or the server does not let it be unregistered.
    """
    versions, store = Versions(server, model), Store(server.model_store, model)
    with store.alone():
        default, ended = versions.default(), dict[str, Path | None]()
        for version in versions.all():
            if version.name == default.name:
                continue
            if not drained(versions, version.name):
                raise ServerError(
                    f"/predictions/{model}/{version.name} is still asked: stop whoever does, then retire it again."
                )
            versions.unregister(version.name)
            kept = store.archive(version.name)
            store.clear_away(version.name, but=kept)
            ended[version.name] = kept if kept.is_file() else None
        if ended:
            store.forget()
        return ended
