"""Who takes part: how each server is made, started, asked and understood."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from compare import archives, model_folder
from compare.artifacts import Artifacts, Weights, trained
from compare.serving import Server, python_server, torchserve
from marwright.errors import MarwrightError
from marwright.workspace import Run

CORES = os.cpu_count() or 1
WAIT_MS = 1
"""How long a batch waits for more requests, where the user decides it; as in marwright's configurations."""


@dataclass(frozen=True)
class Peer:
    """One server with one model.

    ``setup`` says in words how it is set up. ``template`` is the body of a request with ``%s`` for the text, ``best``
    finds the best label in an answer. ``make`` makes the artifact that is deployed, ``start`` serves it.
    """

    name: str
    title: str
    computes: str
    setup: str
    make: Callable[[Artifacts], Path]
    start: Callable[[Artifacts], AbstractContextManager[Server]]
    best: Callable[[bytes], str]
    needs: tuple[str, ...] = ()
    template: str = '{"text": %s}'
    weights: Weights = "teacher"
    own: bool = False

    def missing(self, run: Run) -> str | None:
        """Say which package is not installed, or which model the run has not."""
        absent = [name for name in self.needs if find_spec(name) is None]
        if absent:
            return f"{', '.join(absent)} is not installed"
        there = trained(run, self.weights).checkpoint.is_dir()
        return None if there else f"{run.root.name} has no {self.weights}"


def first_label(answer: bytes) -> str:
    """The first key of a JSON object."""
    return str(next(iter(json.loads(answer))))


def first_label_in_list(answer: bytes) -> str:
    """The first key of the first object of a JSON list."""
    return str(next(iter(json.loads(answer)[0])))


def plain_label(answer: bytes) -> str:
    """The answer is the label."""
    return answer.decode("utf-8").strip().strip('"')


def chosen(names: Sequence[str]) -> list[Peer]:
    """The peers of these names, in the order of the table; all if there are none.

    Raises:
        MarwrightError: there is no such peer.
    """
    known = {peer.name: peer for peer in PEERS}
    if unknown := [name for name in names if name not in known]:
        raise MarwrightError(f"--peers {','.join(unknown)}: there are {', '.join(known)}.")
    return [peer for peer in PEERS if not names or peer.name in names]


def _archive(name: str, *, stock: bool = False) -> Callable[[Artifacts], AbstractContextManager[Server]]:
    return lambda artifacts: torchserve(artifacts.archive(name), stock=stock)


_BATCHES = f"batches of up to {model_folder.BATCH}, {WAIT_MS} ms wait"


def _python(
    name: str,
    title: str,
    setup: str,
    path: str,
    arguments: Sequence[str],
    *,
    best: Callable[[bytes], str] = first_label,
    needs: tuple[str, ...] = (),
    template: str = '{"text": %s}',
) -> Peer:
    """A Python server with the teacher in ONNX Runtime: its URL's path, and what follows ``python``."""

    def start(artifacts: Artifacts) -> AbstractContextManager[Server]:
        folder = artifacts.folder / "servers" / name
        environment = {
            model_folder.FOLDER: str(artifacts.onnx()),
            model_folder.WAIT_MS: str(WAIT_MS),
            "BENTOML_HOME": str(folder),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        return python_server(arguments, path, folder, environment)

    needed = (*(needs or (name,)), "onnx", "onnxruntime")
    return Peer(name, title, "ONNX Runtime int8", setup, Artifacts.onnx, start, best, needed, template)


def _talk(mode: Literal["jit", "original"], title: str, computes: str) -> Peer:
    """The talk's archive, with a traced module or with a module's weights."""
    return Peer(
        name=f"talk-{mode}",
        title=title,
        computes=computes,
        setup=f"as TorchServe comes: {CORES} workers; texts padded to 512, one by one",
        make=lambda artifacts: archives.pack_talk(artifacts, mode),
        start=_archive(f"talk-{mode}", stock=True),
        best=first_label_in_list,
    )


def _own(name: str, title: str, weights: Weights) -> Peer:
    """One of marwright's archives, built as ``marwright build`` does."""
    return Peer(
        name=name,
        title=title,
        computes="TorchScript int8",
        setup=f"{CORES} workers with 1 thread each, {_BATCHES}",
        make=lambda artifacts: archives.pack_own(artifacts, name, trained(artifacts.run, weights)),
        start=_archive(name),
        best=first_label,
        weights=weights,
        own=True,
    )


PEERS: tuple[Peer, ...] = (
    _python(
        "fastapi",
        "FastAPI + ONNX Runtime",
        f"uvicorn, {CORES} processes with 1 thread each, no batches",
        "/predict",
        (
            *("-m", "uvicorn", "compare.fastapi_server:app", "--host", "127.0.0.1", "--port", "{port}"),
            *("--workers", str(CORES), "--log-level", "warning", "--no-access-log"),
        ),
        needs=("fastapi", "uvicorn"),
    ),
    _python(
        "litserve",
        "LitServe",
        f"{CORES} workers with 1 thread each, as many for HTTP, ZeroMQ queues, {_BATCHES}",
        "/predict",
        ("-m", "compare.litserve_server", "--port", "{port}"),
    ),
    _python(
        "mosec",
        "mosec",
        f"{CORES} workers with 1 thread each, {_BATCHES}",
        "/inference",
        ("-m", "compare.mosec_server", "--address", "127.0.0.1", "--port", "{port}", "--log-level", "warning"),
    ),
    _python(
        "bentoml",
        "BentoML",
        f"{CORES} workers with 1 thread each, adaptive batches of up to {model_folder.BATCH}",
        "/classify",
        (
            *("-m", "bentoml", "serve", "compare.bentoml_server:Classifier", "--quiet"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        best=first_label_in_list,
        template='{"texts": [%s]}',
    ),
    _talk("original", "TorchServe, the talk's handler", "PyTorch fp32"),
    _talk("jit", "TorchServe, the talk's handler, traced", "TorchScript fp32"),
    Peer(
        name="example",
        title="TorchServe, its Hugging Face example",
        computes="PyTorch fp32",
        setup="1 worker; texts padded to 150, batches of up to 4, 10 ms wait, best label only",
        make=archives.pack_example,
        start=_archive("example", stock=True),
        best=plain_label,
    ),
    _own("marwright", "marwright", "teacher"),
    _own("marwright-student", "marwright, distilled student", "student"),
    _own("marwright-pruned", "marwright, distilled and pruned student", "student-pruned"),
)
