"""The image: built from the Containerfile on a base of debootstrap, run read-only and without rights, asked and ended.

A build takes minutes and 3 GB: it runs where MARWRIGHT_IMAGE is set.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engineless import Container, container, missing, settings
from marwright.config import load_config
from marwright.fleet.container.context import export_container
from marwright.mar.golden import parsed
from marwright.workspace import Run

PROGRAMS = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
LACKING = (
    "set MARWRIGHT_IMAGE to build the image, which takes minutes"
    if "MARWRIGHT_IMAGE" not in os.environ
    else missing() or (f"needs {', '.join(PROGRAMS)}" if PROGRAMS else None)
)
pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.skipif(LACKING is not None, reason=str(LACKING))]
BASE, IMAGE = "localhost/marwright-test-base", "localhost/marwright-test"
CLIENTS = 8


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian with Python and venv, which is what the Containerfile asks of a base."""
    if subprocess.run(["buildah", "inspect", "--type", "image", BASE], capture_output=True, check=False).returncode:
        folder = tmp_path_factory.mktemp("base")
        packages = "--include=python3,python3-venv,ca-certificates"
        run("debootstrap", "--variant=minbase", packages, "bookworm", folder / "root", "http://deb.debian.org/debian")
        run("tar", "-C", folder / "root", "-cf", folder / "root.tar", ".")
        (folder / "Containerfile").write_text("FROM scratch\nADD root.tar /\n", encoding="utf-8")
        run("buildah", "bud", "--isolation", "chroot", "-t", BASE, folder)
    return BASE


@pytest.fixture(scope="module")
def image(base: str, tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The mounted root of the image."""
    folder = tmp_path_factory.mktemp("image")
    export_container(load_config(Path("configs/customs.yaml"), ["name=goods"]), tiny_archive, folder / "context")
    # This machine's certificates and, where PyTorch's index cannot be reached, its own wheels.
    settings, mounts = ["cert = /etc/ssl/certs/ca-certificates.crt", "timeout = 120"], ["/etc/ssl/certs"]
    build = ["buildah", "bud", "--isolation", "chroot", "--layers", "--build-arg", f"BASE={base}"]
    if wheels := os.environ.get("PIP_FIND_LINKS"):
        settings.append(f"find-links = {wheels}")
        mounts.append(wheels)
        build += ["--build-arg", "TORCH_INDEX=https://pypi.org/simple"]
    (folder / "pip.conf").write_text("\n".join(["[global]", *settings]), encoding="utf-8")
    volumes = [f"{folder}/pip.conf:/etc/pip.conf:ro", *(f"{mount}:{mount}:ro" for mount in mounts)]
    run(*build, *(word for volume in volumes for word in ("-v", volume)), "-t", IMAGE, folder / "context")
    made = run("buildah", "from", IMAGE)
    try:
        yield Path(run("buildah", "mount", made))
    finally:
        run("buildah", "rm", made)


def test_the_image_answers_read_only_and_ends_without_losing_a_request(
    image: Path, tiny_archive: Path, tmp_path: Path
) -> None:
    command = ["tini", "--", "/opt/serve/bin/python", "/srv/serve.py"]
    with container(204, tmp_path / "log", command, settings("goods") | {"PATH": PATH}, root=image) as server:
        ready_s = server.wait_until_ready()
        golden = parsed(Run(tiny_archive.parent / "run").exported.golden.read_bytes())
        for request in golden[:5]:
            status, body = asked(server, request.text)
            assert status == 200
            assert not request.mistake(json.loads(body))
        assert server.get("/live") == 200
        assert server.get("/models") == server.get("/predictions/../models") == 404
        first, *others = psutil.Process(server.process.pid).children(recursive=True)
        assert {process.uids().real for process in (first, *others)} == {10001}
        assert " / ro," in Path(f"/proc/{first.pid}/mountinfo").read_text(encoding="utf-8")

        with clients(server) as seen:
            time.sleep(1)
            told = time.monotonic()
            server.terminate()
            assert server.wait() == 0
            ended_s = time.monotonic() - told

    print(f"ready after {ready_s:.1f} s, ended after {ended_s:.1f} s, {seen['answered']} answered")
    assert seen["lost"] == 0
    assert seen["answered"] > 100
    assert ended_s < 10
    # 20 s on a machine of its own.
    assert ready_s < 60


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def asked(server: Container, text: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.address, 8080, timeout=20)
    connection.request("POST", "/predictions/goods", json.dumps({"text": text}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextmanager
def clients(server: Container) -> Iterator[dict[str, int]]:
    """Clients that ask without a pause, each on a connection until it is closed; what they got."""
    seen = {"answered": 0, "lost": 0}
    lock = threading.Lock()

    def ask() -> None:
        connection = http.client.HTTPConnection(server.address, 8080, timeout=20)
        connection.connect()
        # `Connection: close` on an answer: the door is about to close, and says so in time.
        while connection.sock is not None:
            try:
                connection.request(
                    "POST", "/predictions/goods", b'{"text": "tea"}', {"Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                answer.read()
                good = answer.status == 200
            except (OSError, http.client.HTTPException):
                good = False
                connection.close()
            with lock:
                seen["answered" if good else "lost"] += 1

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    yield seen
    for thread in threads:
        thread.join()
