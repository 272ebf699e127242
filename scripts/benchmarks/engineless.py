"""Runs an image, or the files of a build context, as a container engine would where there is none: as root, on Linux.

Each container has a network of its own, a process table of its own, a `/tmp` in memory, and with an image a root file
system that cannot be written to and a user without rights. `ip`, `unshare` and `haproxy` do the work.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import urllib3

NEEDED = ("ip", "unshare", "tini", "haproxy")
# In the new mount namespace. With an image its root is made read-only and is the only one that the program sees.
_ON_IMAGE = """\
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
exec chroot --userspec=10001:10001 "$ROOT" "$@"
"""
_ON_HOST = """\
mount --bind "$CONTEXT" /srv
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t proc proc /proc
cd /srv
exec "$@"
"""


def missing() -> str | None:
    """What this machine lacks to run containers so; ``None`` if nothing."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return f"needs {', '.join(absent)}"
    return None if os.geteuid() == 0 else "needs root"


@dataclass
class Container:
    address: str
    """Its IP address; it listens on 8080, and shows metrics on 8082."""
    process: subprocess.Popen[bytes]
    log: Path
    started: float

    @property
    def url(self) -> str:
        return f"http://{self.address}:8080"

    def get(self, path: str) -> int:
        """The status of a GET; 0 if nothing answers."""
        try:
            with urllib3.PoolManager(retries=False, timeout=3) as http:
                return http.request("GET", self.url + path).status
        except urllib3.exceptions.HTTPError:
            return 0

    def wait_until_ready(self, timeout_s: float = 120) -> float:
        """Wait for ``/ready``; return the seconds since the start.

        Raises:
            RuntimeError: it ended, or the time is over; with the last lines of its log.
        """
        while (passed := time.monotonic() - self.started) < timeout_s and self.process.poll() is None:
            if self.get("/ready") == 200:
                return passed
            time.sleep(0.05)
        raise RuntimeError(f"not ready after {passed:.0f} s: {self.log.read_text(errors='replace')[-2000:]}")

    def terminate(self) -> None:
        """Send SIGTERM to its first program."""
        for child in psutil.Process(self.process.pid).children():
            child.terminate()

    def wait(self, timeout_s: float = 30) -> int:
        """Wait for its end; return the exit code of its first program."""
        return self.process.wait(timeout_s)


@contextmanager
def container(
    number: int,
    log: Path,
    command: list[str],
    environment: Mapping[str, str],
    *,
    root: Path | None = None,
    context: Path | None = None,
) -> Iterator[Container]:
    """Run a container for the length of the block.

    Args:
        number: of its network, from 0 to 250, which nobody else has meanwhile: its address is ``10.77.NUMBER.2``.
        log: a file for what it prints.
        command: its first program.
        environment: all of its variables.
        root: of an image that is mounted; else the program sees this machine's files.
        context: without an image, what it finds under ``/srv``.
    """
    name, address = f"mw{number}", f"10.77.{number}.2"
    inside = ["ip", "netns", "exec", name]
    script = "set -e\nmount --make-rprivate /\n" + (_ON_HOST if root is None else _ON_IMAGE)
    try:
        for each in (
            ["ip", "netns", "add", name],
            ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name],
            ["ip", "addr", "add", f"10.77.{number}.1/24", "dev", name],
            ["ip", "link", "set", name, "up"],
            [*inside, "ip", "addr", "add", f"{address}/24", "dev", "eth0"],
            [*inside, "ip", "link", "set", "eth0", "up"],
            [*inside, "ip", "link", "set", "lo", "up"],
        ):
            subprocess.run(each, check=True, capture_output=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*inside, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *command],
                env={"PATH": os.environ["PATH"], "ROOT": str(root), "CONTEXT": str(context), **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Container(address, process, log, time.monotonic())
        finally:
            process.kill()
            process.wait()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


def context_serving(number: int, context: Path, model: str, log: Path) -> AbstractContextManager[Container]:
    """Run what a build context starts, with this environment's Python and packages in place of an image's."""
    store = context / "model_store"
    store.mkdir(exist_ok=True)
    for archive in context.glob("*.mar"):
        shutil.copyfile(archive, store / archive.name)
    command = ["tini", "--", sys.executable, "/srv/serve.py"]
    return container(number, log, command, settings(model), context=context)


def settings(model: str) -> dict[str, str]:
    """The variables that the Containerfile sets."""
    return {"HOME": "/tmp", "USER": "serve", "MODEL": model, "LOG_LOCATION": "/tmp/logs"}
