"""Who takes part: how each server is made, started, asked and understood."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from compare import archives, served
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


def _python(
    name: str, arguments: Sequence[str], path: str, environment: Mapping[str, str] | None = None
) -> Callable[[Artifacts], AbstractContextManager[Server]]:
    def start(artifacts: Artifacts) -> AbstractContextManager[Server]:
        folder = artifacts.folder.absolute() / "servers" / name
        found = {
            served.FOLDER: str(artifacts.onnx().absolute()),
            served.WAIT_MS: str(WAIT_MS),
            "TOKENIZERS_PARALLELISM": "false",
            "BENTOML_HOME": str(folder),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        return python_server(arguments, path, folder, found | dict(environment or {}))

    return start


def _archive(name: str, *, stock: bool = False) -> Callable[[Artifacts], AbstractContextManager[Server]]:
    def start(artifacts: Artifacts) -> AbstractContextManager[Server]:
        folder = artifacts.folder.absolute() / "servers" / name
        return torchserve(artifacts.archive(name).absolute(), folder, stock=stock)

    return start


_ORT = "ONNX Runtime int8"
_BATCHES = f"batches of up to {served.BATCH}, {WAIT_MS} ms wait"
_ONNX = ("onnx", "onnxruntime")


def _own(name: str, title: str, weights: Weights) -> Peer:
    """One of marwright's archives, built as ``marwright build`` does."""

    def make(artifacts: Artifacts) -> Path:
        return archives.pack_own(artifacts, name, trained(artifacts.run, weights))

    return Peer(
        name=name,
        title=title,
        computes="TorchScript int8",
        setup=f"{CORES} workers with 1 thread each, {_BATCHES}",
        make=make,
        start=_archive(name),
        best=first_label,
        weights=weights,
        own=True,
    )


PEERS: tuple[Peer, ...] = (
    Peer(
        name="fastapi",
        title="FastAPI + ONNX Runtime",
        computes=_ORT,
        setup=f"uvicorn, {CORES} processes with 1 thread each, no batches",
        make=Artifacts.onnx,
        start=_python(
            "fastapi",
            (
                *("-m", "uvicorn", "compare.fastapi_server:app", "--host", "127.0.0.1", "--port", "{port}"),
                *("--workers", str(CORES), "--log-level", "warning", "--no-access-log"),
            ),
            "/predict",
        ),
        best=first_label,
        needs=("fastapi", "uvicorn", *_ONNX),
    ),
    Peer(
        name="litserve",
        title="LitServe",
        computes=_ORT,
        setup=f"{CORES} workers with 1 thread each, as many for HTTP, ZeroMQ queues, {_BATCHES}",
        make=Artifacts.onnx,
        start=_python("litserve", ("-m", "compare.litserve_server", "--port", "{port}"), "/predict"),
        best=first_label,
        needs=("litserve", *_ONNX),
    ),
    Peer(
        name="mosec",
        title="mosec",
        computes=_ORT,
        setup=f"{CORES} workers with 1 thread each, {_BATCHES}",
        make=Artifacts.onnx,
        start=_python(
            "mosec",
            (
                *("-m", "compare.mosec_server", "--address", "127.0.0.1", "--port", "{port}"),
                *("--log-level", "warning"),
            ),
            "/inference",
        ),
        best=first_label,
        needs=("mosec", *_ONNX),
    ),
    Peer(
        name="bentoml",
        title="BentoML",
        computes=_ORT,
        setup=f"{CORES} workers with 1 thread each, adaptive batches of up to {served.BATCH}",
        make=Artifacts.onnx,
        start=_python(
            "bentoml",
            (
                *("-m", "bentoml", "serve", "compare.bentoml_server:Classifier", "--quiet"),
                *("--host", "127.0.0.1", "--port", "{port}"),
            ),
            "/classify",
        ),
        best=first_label_in_list,
        needs=("bentoml", *_ONNX),
        template='{"texts": [%s]}',
    ),
    Peer(
        name="talk-original",
        title="TorchServe, the talk's handler",
        computes="PyTorch fp32",
        setup=f"as TorchServe comes: {CORES} workers; texts padded to 512, one by one",
        make=lambda artifacts: archives.pack_talk(artifacts, "original"),
        start=_archive("talk-original", stock=True),
        best=first_label_in_list,
    ),
    Peer(
        name="talk-jit",
        title="TorchServe, the talk's handler, traced",
        computes="TorchScript fp32",
        setup=f"as TorchServe comes: {CORES} workers; texts padded to 512, one by one",
        make=lambda artifacts: archives.pack_talk(artifacts, "jit"),
        start=_archive("talk-jit", stock=True),
        best=first_label_in_list,
    ),
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
