"""Loads an archive with its own handler into this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marwright.errors import ArchiveError, RequestError
from marwright.mar import layout
from marwright.mar.protocol import Answer
from marwright.mar.reading import description_in, unpacked
from marwright.model.as_torchserve import REQUEST_ID_HEADER, STAND_INS, AsTorchServe
from marwright.model.model import Model
from marwright.model.private_modules import PrivateModules
from marwright.model.request import Request
from marwright.model.worker_state import worker_state

if TYPE_CHECKING:
    import torch

BATCH = 16
CORE, BASE = "model_core", "resilient_handler"
"""Modules of an archive of marwright; the first release has no core."""


def load(
    file: str | Path, device: str | torch.device | None = None, *, batch_size: int = BATCH, metrics: Any = None
) -> Model:
    """Load an archive, without TorchServe or Java; only torch and tokenizers are needed.

    Its handler's code is run, as TorchServe runs it: check an archive of strangers with ``marwright verify --no-run``.

    Args:
        file: an archive that marwright has built.
        device: such as ``cpu`` or ``cuda:1``; if not given, a GPU where there is one and the archive has a module for
            it, and else the CPU.
        batch_size: texts that are computed at once, at most.
        metrics: has ``phase(name)``, a context manager that times a block, and ``count(name, value)``; nothing is
            counted without it.

    Raises:
        ArchiveError: the file is no archive, its handler is not one of marwright's, this machine cannot run it, or
            ``batch_size`` is no number of texts.
    """
    if "://" in str(file):
        raise ArchiveError(f"{file}: a URL. Fetch the archive, and give its file.")
    file = Path(file)
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ArchiveError(f"{file}: batch_size {batch_size!r}: give a whole number from 1 on.")
    with ExitStack() as stack:
        folder = stack.enter_context(unpacked(file))
        try:
            manifest = description_in(folder, layout.MANIFEST)
            handler_file = str(manifest["model"]["handler"])
            settings = description_in(folder, layout.SETUP)
            threads, modules = int(settings["threads"]), settings["modules"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise _foreign(file) from error
        if not handler_file.endswith(".py") or not (folder / f"{BASE}.py").is_file():
            raise _foreign(file)
        imported = PrivateModules(folder, STAND_INS)
        stack.callback(imported.forget)
        try:
            with worker_state(threads):
                handler = _handler(imported, Path(handler_file).stem)
                if handler is not None:
                    about = (folder, manifest, _device(device, modules), batch_size)
                    answering = _loaded(imported, handler, *about, metrics)
        # Whatever the handler's code raises.
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ArchiveError(f"{file}: its handler cannot be loaded: {said}") from error
        if handler is None:
            raise _foreign(file)
        return Model(str(file), answering, threads, batch_size, stack.pop_all())


def _foreign(file: Path) -> ArchiveError:
    return ArchiveError(
        f"{file}: its handler is not one of marwright's, so only TorchServe can run it. "
        "marwright.load runs archives of `marwright build`."
    )


def _device(wanted: str | torch.device | None, modules: Mapping[str, Any]) -> torch.device:
    import torch

    device = torch.device(wanted or ("cuda" if "cuda" in modules and torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RuntimeError(f"there is no {device} here")
    # Its number too, which whatever keeps memory there goes by.
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def _handler(modules: PrivateModules, name: str) -> Any:
    """The handler that TorchServe would find; None if it is none of marwright's."""
    module = modules.load(name)
    classes = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    is_ours = len(classes) == 1 and issubclass(classes[0], modules.load(BASE).ResilientHandler)
    return classes[0]() if is_ours else None


class _WithCore:
    """A handler that the archive's own Model drives."""

    def __init__(self, core: Any, model: Any) -> None:
        self._core, self._model = core, model

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        raw = [self._core.RawRequest(request.named(), request.content_type.lower()) for request in requests]
        return [
            Answer(
                one.status,
                one.body,
                "application/json",
                {} if one.request_id is None else {REQUEST_ID_HEADER: one.request_id},
            )
            for one in self._model.answer(raw)
        ]


class _WithInstances(_WithCore):
    """The same where the core takes instances without JSON around them; that of an earlier release does not."""

    def predict(self, instances: list[dict[str, Any]]) -> list[Any]:
        refusals = (self._core.BadRequest, self._core.PredictionFailure)
        answers = self._model.predict(instances)
        return [RequestError(str(one)) if isinstance(one, refusals) else one for one in answers]


def _loaded(
    modules: PrivateModules,
    handler: Any,
    folder: Path,
    manifest: dict[str, Any],
    device: torch.device,
    batch_size: int,
    metrics: Any,
) -> _WithCore | AsTorchServe:
    base, own = modules.load(BASE).ResilientHandler, type(handler)
    is_plain = own.initialize is base.initialize and own.handle is base.handle
    if not is_plain or not (folder / f"{CORE}.py").is_file():
        gpu = None if device.type == "cpu" else device.index or 0
        return AsTorchServe(handler, folder, manifest, gpu, batch_size)
    core = modules.load(CORE)
    model = core.Model(handler, folder, manifest)
    model.load(device, batch_size, metrics)
    return (_WithInstances if hasattr(core.Model, "predict") else _WithCore)(core, model)
