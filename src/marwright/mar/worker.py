"""Runs an archive without Java: a real TorchServe worker process, with marwright in the place of the frontend."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from marwright.errors import ArchiveError
from marwright.mar import protocol
from marwright.mar.abstention import probabilities_in
from marwright.mar.golden import GoldenRequest
from marwright.mar.protocol import Answer, Body
from marwright.mar.reading import manifest_in, unpacked
from marwright.processes.child import child
from marwright.processes.socket_folder import make_socket_folder
from marwright.resources import shipped

# For one step: the start, the load, or the answer to one batch.
TIMEOUT_S = 120


class ArchiveWorker:
    """A worker that loads an archive and answers batches.

    Every method raises ``ArchiveError``: the worker died, was silent for too long, or does not speak the protocol; the
    message has the end of its log.
    """

    def __init__(self, connection: socket.socket, file: Path, log: Path) -> None:
        self._connection, self._stream = connection, connection.makefile("rb")
        self._file, self.log = file, log

    def _send(self, message: bytes) -> None:
        # If the worker has died, reading its answer finds that out.
        with suppress(ConnectionError):
            self._connection.sendall(message)

    def _read(self, length: int) -> bytes:
        try:
            data = self._stream.read(length)
        except TimeoutError:
            last = _last_lines(self.log)
            raise ArchiveError(f"{self._file}: its worker did not answer within {TIMEOUT_S} s.\n{last}") from None
        except ConnectionError:
            data = b""
        if len(data) < length:
            raise ArchiveError(f"{self._file}: its worker died.\n{_last_lines(self.log)}")
        return data

    def load(self, model: str, folder: Path, handler: str, batch_size: int) -> None:
        """Load the unpacked archive; it is an ArchiveError too if the handler cannot be loaded."""
        self._send(protocol.load_message(model, str(folder), handler, batch_size))
        code, message = protocol.read_load_answer(self._read)
        if code != 200:
            raise ArchiveError(f"{self._file}: its handler cannot be loaded: {message}\n{_last_lines(self.log)}")

    def answer(self, bodies: Sequence[Body]) -> list[Answer]:
        """Answer one batch."""
        self._send(protocol.predict_message(bodies))
        try:
            answers = protocol.read_answers(self._read)
        except protocol.OutOfStep:
            cause = "A reason phrase that is not ASCII does this: context.set_response_status(code, phrase, idx)."
            raise ArchiveError(f"{self._file}: TorchServe cannot read what its worker sends. {cause}") from None
        if len(answers) != len(bodies):
            raise ArchiveError(f"{self._file}: its worker gave {len(answers)} answers to {len(bodies)} requests.")
        return answers

    def classify(self, texts: Sequence[str], top_k: int | None = None, field: str = "text") -> list[dict[str, Any]]:
        """Send texts as one batch of JSON requests; label: probability for each, best first, or an abstention.

        ``top_k`` labels are asked for, or the archive's own number; the texts stand in ``field``.

        Raises:
            ArchiveError: a text was not answered, the message then has the handler's own; or with something else.
        """
        extra = {} if top_k is None else {"top_k": top_k}
        answers = self.answer([Body(json.dumps({field: text, **extra}).encode()) for text in texts])
        for text, answer in zip(texts, answers, strict=True):
            if answer.status != 200:
                raise ArchiveError(f"{text[:60]!r} was answered with {answer.status}: {message_in(answer.body)}")
        return [self.labels_in(answer.body) for answer in answers]

    def labels_in(self, body: bytes) -> dict[str, Any]:
        """Label: probability for each label of a good answer, or an abstention; else it is an ArchiveError."""
        with suppress(ValueError, RecursionError, TypeError, KeyError):
            answer: dict[str, Any] = json.loads(body)
            if all(isinstance(value, int | float) for value in probabilities_in(answer).values()):
                return answer
        raise ArchiveError(
            f"{self._file}: its handler answers {body[:60]!r}, which is not a probability for each label."
        )


@contextmanager
def running(file: Path) -> Iterator[ArchiveWorker]:
    """Unpack an archive, and start a worker that has loaded it; all is cleaned up afterwards.

    Raises:
        ArchiveError: the archive cannot be read, or its worker does not start.
    """
    with unpacked(file) as folder, started(file, folder) as worker:
        yield worker


def prove(file: Path, golden: Sequence[GoldenRequest], fields: Sequence[str] = ()) -> None:
    """Start a worker, and send the golden requests, which all have as many labels, one by one and as one batch.

    Of ``fields`` that a request may send in place of one text, all of the text is then sent in the first one as well.

    Raises:
        ArchiveError: the archive cannot be run, or its handler does not answer as recorded.
    """
    texts, labels = [request.text for request in golden], len(golden[0].answer)
    with running(file) as worker:
        rounds = [[worker.classify([text], top_k=labels)[0] for text in texts], worker.classify(texts, top_k=labels)]
        rounds += [worker.classify(texts, top_k=labels, field=field) for field in fields[:1]]
    for answers in rounds:
        for request, answer in zip(golden, answers, strict=True):
            if mistake := request.mistake(answer):
                raise ArchiveError(f"The handler does not answer as the exported module did: {mistake}.")


@contextmanager
def started(file: Path, folder: Path) -> Iterator[ArchiveWorker]:
    """Start a worker with only an archive on its path that is unpacked in ``folder``, and load it.

    Raises:
        ArchiveError: its manifest or settings cannot be read, or its worker does not start.
    """
    model, settings = manifest_in(folder, file)
    private = make_socket_folder("marwright-")
    try:
        log = private / "worker.log"
        address = private / ".ts.sock.9000"
        with (
            log.open("wb") as output,
            child(_command(address), cwd=folder, environment=environment_for(folder), output=output) as process,
            _connect(process, address, file, log) as connection,
        ):
            worker = ArchiveWorker(connection, file, log)
            # As TorchServe reads it: whatever is no number counts as missing.
            size = settings.get("batchSize")
            worker.load(model["modelName"], folder, model["handler"], size if isinstance(size, int) else 1)
            yield worker
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _command(address: Path) -> list[str]:
    package = importlib.util.find_spec("ts")
    if package is None or package.origin is None:
        raise ArchiveError("torchserve is not installed: pip install torchserve==0.12.0")
    program = Path(package.origin).parent / "model_service_worker.py"
    metrics = shipped("configs") / "metrics.yaml"
    arguments = ["--sock-type", "unix", "--sock-name", str(address), "--metrics-config", str(metrics)]
    return [sys.executable, str(program), *arguments]


def environment_for(folder: Path) -> dict[str, str]:
    """The environment of a worker: TorchServe puts the unpacked archive on its path; nothing of ours may be there."""
    theirs = {name: value for name, value in os.environ.items() if name not in ("RANK", "LOCAL_RANK")}
    return theirs | {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}


def _connect(process: subprocess.Popen[bytes], address: Path, file: Path, log: Path) -> socket.socket:
    deadline = time.monotonic() + TIMEOUT_S
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    while time.monotonic() < deadline:
        if process.poll() is not None:
            within = ""
            break
        with suppress(FileNotFoundError, ConnectionRefusedError):
            connection.connect(str(address))
            connection.settimeout(TIMEOUT_S)
            return connection
        time.sleep(0.02)
    else:
        within = f" within {TIMEOUT_S} s"
    connection.close()
    raise ArchiveError(f"{file}: its worker did not start{within}.\n{_last_lines(log)}")


def _last_lines(log: Path, count: int = 12) -> str:
    lines = tail_of(log).splitlines() if log.is_file() else []
    return "\n".join(f"  {line}" for line in lines[-count:])


def tail_of(log: Path, length: int = 1 << 16) -> str:
    """The end of a log, which may be larger than the memory."""
    with log.open("rb") as opened:
        opened.seek(max(0, log.stat().st_size - length))
        return opened.read(length).decode(errors="replace")


def message_in(body: bytes) -> str:
    """What a refusal says."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")
