"""Starts a server of any kind for the length of a ``with`` block, on a free port, and always ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from marwright.errors import ServerError
from marwright.server.ports import Ports
from marwright.server.process import end, is_alive
from marwright.server.server import serving

_ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(
        filter(None, (str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")))
    ),
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
# Where its own configuration says nothing else, as TorchServe comes: logs at INFO, all metrics, a worker for each core.
_STOCK = """\
inference_address=http://127.0.0.1:8080
management_address=http://127.0.0.1:8081
metrics_address=http://127.0.0.1:8082
disable_token_authorization=true
load_models=all
async_logging=true
metrics_config={metrics}
vmargs=-Dlog4j.configurationFile={logging}
"""


@dataclass(frozen=True)
class Server:
    """A server that has been started; it may still be loading."""

    url: str
    pid: int
    log: Path

    def is_alive(self) -> bool:
        """Whether its first process still runs."""
        return psutil.pid_exists(self.pid) and is_alive(psutil.Process(self.pid))

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of the whole process tree: summed, and with shared pages divided among their users."""
        rss = pss = 0
        for member in self._tree():
            with suppress(psutil.Error):
                memory = member.memory_full_info()
                rss, pss = rss + memory.rss, pss + memory.pss
        return {"rss": round(rss / 1e6, 1), "pss": round(pss / 1e6, 1)}

    def cpu_s(self) -> float:
        """Processor time that the whole process tree has taken so far."""
        total = 0.0
        for member in self._tree():
            with suppress(psutil.Error):
                times = member.cpu_times()
                total += times.user + times.system
        return total

    def _tree(self) -> list[psutil.Process]:
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]


@contextmanager
def python_server(
    arguments: Sequence[str], path: str, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Run ``python`` with these arguments, in which ``{port}`` becomes a free port, in a folder, where it logs.

    ``path`` is that of the URL that answers; the environment is added to this process's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = Ports.free().inference
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *(argument.format(port=port) for argument in arguments)],
            cwd=folder,
            env={**os.environ, **_ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(f"http://127.0.0.1:{port}{path}", process.pid, log)
    finally:
        end(process.pid, grace_s=10)
        process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # children that a dead parent has left behind


@contextmanager
def torchserve(archive: Path, *, stock: bool = False) -> Iterator[Server]:
    """Serve one archive with TorchServe, set up as it comes (``stock``) or as ``marwright serve`` does."""
    with tempfile.TemporaryDirectory(prefix="compare-", ignore_cleanup_errors=True) as folder:
        properties, state = _stock_properties(Path(folder)) if stock else None, Path(folder) / "state"
        with serving(archive.parent, properties, state=state, models=[archive.name], ports=Ports.free()) as server:
            yield Server(f"{server.inference}/predictions/{server.models[0]}", server.pid, Path(server.logs))


def _stock_properties(folder: Path) -> Path:
    """Write a configuration that leaves TorchServe at its defaults; its log settings stand in its jar."""
    import ts

    package = Path(ts.__file__).parent
    logging = folder / "log4j2.xml"
    try:
        with zipfile.ZipFile(package / "frontend" / "model-server.jar") as jar:
            logging.write_bytes(jar.read("log4j2.xml"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ServerError(f"TorchServe's own log settings cannot be read: {error}.") from error
    file = folder / "config.properties"
    file.write_text(_STOCK.format(metrics=package / "configs" / "metrics.yaml", logging=logging))
    return file
