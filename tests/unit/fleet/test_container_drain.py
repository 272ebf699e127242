"""The container's front door and its end, with a stand-in for TorchServe: what it took before SIGTERM is answered."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from engineless import Container, container, missing, settings
from marwright.fleet.container.context import FILES
from waiting import eventually

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"containers without an engine: {missing()}")
# Answers on the three addresses that TorchServe has; a request is in its hands for as long as its body says.
STAND_IN = """\
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.answer(b'[{"workers": [{"status": "READY"}]}]' if self.path == "/models/goods" else b"metrics")
    def do_POST(self):
        time.sleep(float(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(self.path.encode())
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

for port in (8091, 8092):
    Thread(target=ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", 8090), Handler).serve_forever()
"""
START = """\
import sys
sys.path.insert(0, "/srv")
import serve
serve._torchserve = lambda: [sys.executable, "/srv/stand_in.py"]
sys.exit(serve.main())
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Container]:
    context = tmp_path / "context"
    context.mkdir()
    for name in ("serve.py", "haproxy.cfg"):
        shutil.copyfile(FILES / name, context / name)
    (context / "stand_in.py").write_text(STAND_IN, encoding="utf-8")
    environment = settings("goods") | {"API_KEY": "secret", "DRAIN_SECONDS": "1"}
    with container(
        205, tmp_path / "log", ["tini", "--", sys.executable, "-c", START], environment, context=context
    ) as started:
        started.wait_until_ready(20)
        yield started


def post(server: Container, path: str, seconds: float = 0, key: str = "secret") -> tuple[int, str]:
    """Ask on a connection of its own; status 0 if it is refused."""
    with urllib3.PoolManager(retries=False, timeout=20) as http:
        try:
            answer = http.request(
                "POST", server.url + path, body=str(seconds), headers={"Authorization": f"Bearer {key}"}
            )
        except urllib3.exceptions.NewConnectionError:
            return 0, ""
        return answer.status, answer.data.decode()


def test_who_may_ask_what(server: Container) -> None:
    assert [server.get(path) for path in ("/ready", "/ping", "/live")] == [200, 200, 200]
    assert post(server, "/predictions/goods") == (200, "/predictions/goods")
    assert post(server, "/invocations") == (200, "/predictions/goods")
    assert post(server, "/v1/models/goods:predict") == (200, "/v1/models/goods:predict")
    assert post(server, "/models")[0] == 404
    assert post(server, "/predictions/goods", key="wrong")[0] == 401
    with urllib3.PoolManager(retries=False) as http:
        assert http.request("GET", f"http://{server.address}:8082/metrics").data == b"metrics"
        assert b"haproxy_process" in http.request("GET", f"http://{server.address}:8082/proxy").data
        assert http.request("GET", f"http://{server.address}:8082/models").status == 404


@pytest.mark.slow
def test_on_sigterm_it_is_not_ready_and_all_that_it_took_is_answered(server: Container) -> None:
    # It keeps a connection without using it, as a proxy does: nobody waits for it.
    idle = urllib3.PoolManager(retries=False)
    assert idle.request("GET", server.url + "/live").status == 200
    with ThreadPoolExecutor(8) as pool:
        in_hand = [pool.submit(post, server, "/predictions/goods", 3) for _ in range(4)]
        time.sleep(0.3)
        told = time.monotonic()
        server.terminate()
        eventually(lambda: server.get("/ready") == 503, 5)
        # Not ready, but not gone: who has not heard of it yet is answered.
        assert server.get("/live") == 200
        late = pool.submit(post, server, "/predictions/goods", 2)
        eventually(lambda: server.get("/live") == 0, 5)
        assert time.monotonic() - told >= 1
        assert post(server, "/predictions/goods") == (0, "")
        answers = [each.result() for each in (*in_hand, late)]
        code = server.wait()

    assert answers == [(200, "/predictions/goods")] * 5
    assert code == 0
    assert time.monotonic() - told < 6
