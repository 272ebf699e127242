"""A rollout on a real server, while clients ask it all the time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from command_line import PROJECT, marwright
from goods_build import Built
from marwright.mar.reading import describe
from marwright.server.ports import Ports
from marwright.server.server import RunningServer, serving
from soak.rollout import judged
from soak.served import Served
from soak.versions import version_of
from soak.witnesses import Witnesses, witnesses
from waiting import eventually

pytestmark = pytest.mark.slow
CLIENTS = 4
# Requests per second: enough that some are always in hand, and the cores are left to what is tried.
RATE = 40
# One worker, and seconds instead of half a minute until a version may be retired.
SETTINGS = {"minWorkers": 1, "maxWorkers": 1, "responseTimeout": 3}
# Slow only where it is served, from a hidden folder of the store: verifying it would take a minute otherwise.
SLOW = """\
    def predict(self, examples):
        import time
        from pathlib import Path

        if Path(__file__).resolve().parent.name.startswith("."):
            time.sleep(0.15)
        return super().predict(examples)
"""


@dataclass(frozen=True)
class Shop:
    """A server with version 1.0, and archives that are not in its store."""

    server: RunningServer
    state: Path
    store: Path
    old: Path
    new: Path
    slow: Path

    @property
    def served(self) -> Served:
        return Served(self.server, self.old, "goods")


@pytest.fixture(scope="module")
def shop(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    old = version_of(built.archive, folder / "model_store" / "goods.mar", "1.0", settings=SETTINGS)
    new = version_of(built.archive, folder / "next" / "goods.mar", "2.0", turn=1, settings=SETTINGS)
    slow = version_of(built.archive, folder / "slow" / "goods.mar", "3.0", methods=SLOW, settings=SETTINGS)
    properties, state = PROJECT / "configs" / "rollout.properties", folder / "state"
    with serving(old.parent, properties, state=state, ports=Ports.free()) as server:
        yield Shop(server, state, old.parent, old, new, slow)


def test_a_much_slower_version_is_refused_and_the_old_one_never_stops_answering(shop: Shop) -> None:
    before = {file.name for file in shop.store.iterdir()}
    with witnesses(shop.served, CLIENTS, rate=RATE) as seen:
        done = marwright("rollout", shop.slow, "--state", shop.state, "--canary-seconds", "2", "--json")

    outcome = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert not outcome["accepted"]
    assert any(reason.startswith("p50 of marwright's requests") for reason in outcome["reasons"])
    assert outcome["canary"]["agreement"] == 1
    assert seen.outcomes
    assert [each for each in seen.outcomes if each.verdict != "right"] == []
    assert shop.served.versions().keys() == {"1.0"}
    assert {file.name for file in shop.store.iterdir()} == before


def test_every_request_is_answered_by_one_version_or_the_other_through_a_kill_a_rollout_and_the_way_back(
    shop: Shop,
) -> None:
    # The verdict is another test's: on a busy machine two seconds show great differences between equals.
    options = ["--state", str(shop.state), "--min-agreement", "0", "--max-slowdown", "50"]
    with witnesses(shop.served, CLIENTS, versions=(shop.old, shop.new), rate=RATE) as seen:
        _kill_in_the_canary(["rollout", str(shop.new), *options, "--canary-seconds", "60"])
        assert shop.served.versions().keys() == {"1.0", "2.0"}

        again = marwright("rollout", shop.new, *options, "--canary-seconds", "2", "--watch-seconds", "2", "--json")
        assert again.returncode == 0, again.stderr
        assert "begun anew" in again.stderr
        _wait_for(seen, "2.0")
        assert describe(shop.store / "goods.mar")["manifest"]["model"]["modelVersion"] == "2.0"

        back = marwright("rollback", "goods", "--state", shop.state)
        assert back.returncode == 0, back.stderr
        _wait_for(seen, "1.0")
        retired = marwright("retire", "goods", "--state", shop.state)
        assert retired.returncode == 0, retired.stderr
        enough = len(seen.outcomes) + 20 * CLIENTS
        eventually(lambda: len(seen.outcomes) > enough)

    assert judged(seen) == []
    outcome = json.loads(again.stdout)
    assert outcome["canary"]["new"]["failed"] == outcome["watch"]["new"]["failed"] == 0
    # Every label was moved on, so no text has the same one; the two mirrors saw the two versions.
    assert outcome["canary"]["agreement"] == 0
    counted = outcome["canary"]["counted_new"]["requests"], outcome["canary"]["new"]["requests"]
    assert counted[0] == counted[1] > 0
    assert shop.served.versions() == {"1.0": "goods.mar"}
    assert describe(shop.store / "goods.mar")["manifest"]["model"]["modelVersion"] == "1.0"
    assert sorted(file.name for file in shop.store.iterdir()) == [".goods-2.0.mar", "goods.mar"]


def test_a_rollout_needs_a_server_that_lets_models_be_registered(
    server: RunningServer, built: Built, tmp_path: Path
) -> None:
    new = version_of(built.archive, tmp_path / "goods.mar", "2.0")
    before = {file.name for file in built.archive.parent.iterdir()}
    where = ["--management", server.management, "--inference", server.inference, "--metrics", server.metrics]
    done = marwright("rollout", new, *where, "--model-store", built.archive.parent)

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


def _wait_for(seen: Witnesses, version: str) -> None:
    """Wait until every client was last answered by this version."""
    eventually(lambda: all(seen.versions(client)[-1:] == [version] for client in range(CLIENTS)))
