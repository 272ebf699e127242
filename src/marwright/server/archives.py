"""Which archives of a model store a server is to load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import is_zipfile

from marwright.errors import ServerError
from marwright.server.properties import Properties


def archives_to_serve(model_store: Path, models: Sequence[str] = ()) -> list[str]:
    """The names of the archives of a model store that a server is to load: those of ``models``, or all in sight.

    Raises:
        ServerError: there is none, or not the one that is wanted, or one that is no archive.
    """
    if not model_store.is_dir():
        raise ServerError(f"The model store {model_store} does not exist: build an archive with `make mar`.")
    # TorchServe does not see hidden files either: a rollout keeps other versions there.
    there = sorted(path.name for path in model_store.glob("[!.]*.mar") if path.is_file())
    if not there:
        raise ServerError(f"The model store {model_store} has no archives: build one with `make mar`.")
    wanted = [f"{name.removesuffix('.mar')}.mar" for name in models]
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ServerError(f"{model_store} has no {', '.join(missing)}; it has {', '.join(there)}.")
    chosen = wanted or there
    for name in chosen:
        if not is_zipfile(model_store / name):
            raise ServerError(f"{model_store / name} is not an archive: build it again with `make mar`.")
    return chosen


def archives_expected(config: Properties, model_store: Path, models: Sequence[str]) -> list[str]:
    """What a server must have loaded before it is ready: ``models``, what ``load_models`` says, or all in sight.

    Raises:
        ServerError: as for :func:`archives_to_serve`; or ``load_models`` names none, or one that is not there.
    """
    in_sight = archives_to_serve(model_store, models)
    if models or (named := config.loads()) is None:
        return in_sight
    # Others are fetched, or lie where a path says.
    missing = [name for name in named if "/" not in name and not (model_store / name).exists()]
    if missing:
        raise ServerError(
            f"{config.path}: load_models names {', '.join(missing)}, which {model_store} does not have: write "
            f"load_models=all, or names out of {', '.join(in_sight)}, divided by commas without blanks."
        )
    return named
