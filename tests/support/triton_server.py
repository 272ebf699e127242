"""A real tritonserver on free ports: the one that the package nvidia-pytriton brings, with the Python backend only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marwright.server.ports import Ports

# Of an environment with nvidia-pytriton, tokenizers and onnxruntime; its packages do not go with marwright's.
PYTHON = os.environ.get("TRITON_PYTHON", "")
WHERE = (
    "import sys; from pytriton.utils import distribution as d; "
    "print(d.get_root_module_path() / 'tritonserver', d.get_libs_path(), "
    "d.get_stub_path('.'.join(map(str, sys.version_info[:2]))), sep='\\n')"
)


class TritonServer:
    """A server that is ready."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/v2"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.address}/{path}", timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def infer(self, model: str, *texts: str) -> tuple[int, Any]:
        """Status and answer of one request with some texts."""
        tensor = {"name": "TEXT", "shape": [len(texts), 1], "datatype": "BYTES", "data": texts}
        body = json.dumps({"inputs": [tensor]}).encode()
        try:
            with urllib.request.urlopen(f"{self.address}/models/{model}/infer", body, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@contextmanager
def triton_serving(repository: Path, private: Path) -> Iterator[TritonServer]:
    """Serve a model repository until the block ends."""
    found = subprocess.run([PYTHON, "-c", WHERE], check=True, capture_output=True, text=True)
    bundled, libraries, stub = map(Path, found.stdout.split())
    # The backend wants its helper for this version of Python beside it.
    backends = private / "backends"
    shutil.copytree(bundled / "backends", backends)
    shutil.copy(stub, backends / "python" / stub.name)
    ports = Ports.free()
    log = private / "tritonserver.log"
    command = [bundled / "bin" / "tritonserver", "--model-repository", repository, "--backend-directory", backends]
    command += ["--http-address", "127.0.0.1", "--http-port", str(ports.inference)]
    command += ["--allow-grpc", "false", "--allow-metrics", "false"]
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(libraries),
        # The backend runs the first Python on the path.
        "PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}",
    }
    environment.pop("PYTHONPATH", None)
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        server = TritonServer(ports.inference)
        _wait(server, process, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: TritonServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.get("health/ready")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"tritonserver is not ready:\n{log.read_text(errors='replace')[-4000:]}")
