"""A rollout on a real server, while clients ask it without a pause."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import PROJECT, Built, marwright
from versions import golden_of, version_of

from marwright.archive.golden import TOLERANCE, difference
from marwright.archive.reading import describe
from marwright.serving.management import Management, key_header
from marwright.serving.ports import Ports
from marwright.serving.server import RunningServer, serving

pytestmark = pytest.mark.slow
CLIENTS = 4
# Slow only where it is served, from a hidden folder of the store: verifying it would take a minute otherwise.
SLOW = """\
    def predict(self, examples):
        import time
        from pathlib import Path

        if Path(__file__).resolve().parent.name.startswith("."):
            time.sleep(0.5)
        return super().predict(examples)
"""


@dataclass
class Traffic:
    """What clients of ``/predictions/goods`` saw: for each, in its order, the version that answered it."""

    answered: list[list[str]] = field(default_factory=lambda: [[] for _ in range(CLIENTS)])
    wrong: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(len(versions) for versions in self.answered)


@dataclass(frozen=True)
class Shop:
    """A server with version 1.0, and archives that are not in its store."""

    server: RunningServer
    state: Path
    store: Path
    new: Path
    slow: Path
    recorded: dict[str, dict[str, list[dict[str, Any]]]]  # version, text: answer

    @property
    def key_file(self) -> Path:
        return Path(str(self.server.key_file))

    def versions(self) -> dict[str, str]:
        """Every registered version, with the file it was registered from."""
        _, found = Management(self.server.management, self.key_file).ask("GET", "/models/goods/all")
        return {one["modelVersion"]: one["modelUrl"] for one in found}

    def who_answers(self, text: str, answer: dict[str, float]) -> str:
        """The version whose recorded answer this is; all of it, so that no mixture is taken for one."""
        fitting = [v for v, by_text in self.recorded.items() if difference(by_text[text], answer) <= TOLERANCE]
        return fitting[0] if len(fitting) == 1 else f"{len(fitting)} versions answer {text!r} with {answer}"


@pytest.fixture(scope="module")
def shop(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    old = version_of(built.archive, folder / "model_store" / "goods.mar", "1.0")
    new = version_of(built.archive, folder / "next" / "goods.mar", "2.0", turn=1)
    slow = version_of(built.archive, folder / "slow" / "goods.mar", "3.0", methods=SLOW)
    recorded = {
        version: {request["text"]: request["answer"] for request in golden_of(archive)}
        for version, archive in (("1.0", old), ("2.0", new))
    }
    properties, state = PROJECT / "configs" / "rollout.properties", folder / "state"
    with serving(old.parent, properties, state=state, ports=Ports.free()) as server:
        yield Shop(server, state, old.parent, new, slow, recorded)


@contextmanager
def asked_without_a_pause(shop: Shop) -> Iterator[Traffic]:
    """Let clients send their next request when the last one is answered, until the block ends."""
    traffic, over = Traffic(), threading.Event()
    parts = urlsplit(shop.server.inference)
    headers = {"Content-Type": "application/json", **key_header(shop.key_file, "inference")}

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        for text in cycle(shop.recorded["1.0"]):
            if over.is_set():
                break
            body = json.dumps({"text": text, "top_k": len(shop.recorded["1.0"][text])})
            try:
                connection.request("POST", "/predictions/goods", body, headers)
                response = connection.getresponse()
                status, answer = response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                traffic.wrong.append(repr(error))
                connection.close()
                continue
            if status == 200:
                traffic.answered[number].append(shop.who_answers(text, json.loads(answer)))
            else:
                traffic.wrong.append(f"{status} {answer[:200]!r}")
        connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    try:
        yield traffic
    finally:
        over.set()
        for each in clients:
            each.join()


def runs(answered: list[str]) -> list[str]:
    """The versions in the order in which they answered, each once for as long as it did."""
    return [version for at, version in enumerate(answered) if at == 0 or version != answered[at - 1]]


def test_a_much_slower_version_is_refused_and_the_old_one_never_stops_answering(shop: Shop) -> None:
    before = {file.name for file in shop.store.iterdir()}
    with asked_without_a_pause(shop) as traffic:
        done = marwright("rollout", shop.slow, "--state", shop.state, "--canary-seconds", "2", "--json", timeout=300)

    outcome = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert not outcome["accepted"]
    assert any(reason.startswith("p50 of marwright's requests") for reason in outcome["reasons"])
    assert outcome["canary"]["agreement"] == 1
    assert traffic.wrong == []
    assert {version for client in traffic.answered for version in client} == {"1.0"}
    assert shop.versions().keys() == {"1.0"}
    assert {file.name for file in shop.store.iterdir()} == before


def test_every_request_is_answered_by_one_version_or_the_other_through_a_kill_a_rollout_and_the_way_back(
    shop: Shop,
) -> None:
    # The verdict is another test's: on a busy machine two seconds show great differences between equals.
    options = ["--state", str(shop.state), "--min-agreement", "0", "--max-slowdown", "50"]
    with asked_without_a_pause(shop) as traffic:
        _kill_in_the_canary(["rollout", str(shop.new), *options, "--canary-seconds", "60"])
        assert shop.versions().keys() == {"1.0", "2.0"}

        again = marwright(
            "rollout", shop.new, *options, "--canary-seconds", "2", "--watch-seconds", "2", "--json", timeout=300
        )
        assert again.returncode == 0, again.stderr
        assert "begun anew" in again.stderr
        _wait_for(traffic, "2.0")
        assert describe(shop.store / "goods.mar")["manifest"]["model"]["modelVersion"] == "2.0"

        back = marwright("rollback", "goods", "--state", shop.state, timeout=60)
        assert back.returncode == 0, back.stderr
        _wait_for(traffic, "1.0")
        retired = marwright("retire", "goods", "--state", shop.state, timeout=60)
        assert retired.returncode == 0, retired.stderr
        enough = traffic.total + 20 * CLIENTS
        _until(lambda: traffic.total > enough)

    assert traffic.wrong == []
    assert [runs(client) for client in traffic.answered] == [["1.0", "2.0", "1.0"]] * CLIENTS
    outcome = json.loads(again.stdout)
    assert outcome["canary"]["new"]["failed"] == outcome["watch"]["new"]["failed"] == 0
    # Every label was moved on, so no text has the same one; the two mirrors saw the two versions.
    assert outcome["canary"]["agreement"] == 0
    counted = outcome["canary"]["counted_new"]["requests"], outcome["canary"]["new"]["requests"]
    assert counted[0] == counted[1] > 0
    assert shop.versions() == {"1.0": "goods.mar"}
    assert describe(shop.store / "goods.mar")["manifest"]["model"]["modelVersion"] == "1.0"
    assert sorted(file.name for file in shop.store.iterdir()) == [".goods-2.0.mar", "goods.mar"]


def test_a_rollout_needs_a_server_that_lets_models_be_registered(
    server: RunningServer, built: Built, tmp_path: Path
) -> None:
    new = version_of(built.archive, tmp_path / "goods.mar", "2.0")
    before = {file.name for file in built.archive.parent.iterdir()}
    where = ["--management", server.management, "--inference", server.inference, "--metrics", server.metrics]
    done = marwright("rollout", new, *where, "--model-store", built.archive.parent, timeout=300)

    assert done.returncode == 2
    assert "configs/rollout.properties" in done.stderr
    assert {file.name for file in built.archive.parent.iterdir()} == before


def _kill_in_the_canary(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "marwright", *arguments]
    with subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("canary:"):
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "".join(said)


def _wait_for(traffic: Traffic, version: str) -> None:
    """Wait until every client was last answered by this version."""
    _until(lambda: all(client and client[-1] == version for client in traffic.answered))


def _until(happened: Any) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
