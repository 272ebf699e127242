"""One server per state folder, known for good, and nothing left behind: with a fake Java, in real processes."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import fake_torchserve
from command_line import marwright, marwright_process
from marwright.errors import MarwrightError, ServerError
from marwright.processes.socket_folder import make_socket_folder
from marwright.server import RunningServer, running, start, stop
from marwright.server.identity import ProcessIdentity
from marwright.server.state import alone_in, recall, remember
from waiting import eventually


@dataclasses.dataclass(frozen=True)
class Shop:
    """A model store with one archive, and a state folder; both below ``folder``."""

    folder: Path
    environment: dict[str, str]

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def arguments(self) -> list[str]:
        return ["serve", "--model-store", str(self.folder / "store"), "--state", str(self.state), "--free-ports"]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return marwright_process(*arguments, cwd=self.folder, env=self.environment)

    def run_here(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What starts no server needs no process of its own."""
        return marwright(*arguments, cwd=self.folder, env=self.environment)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "marwright", *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True)

    def processes(self) -> list[psutil.Process]:
        return [each for each in fake_torchserve.processes(self.folder) if each.is_running()]


@pytest.fixture
def shop() -> Iterator[Shop]:
    # Not pytest's own folder: in one with a long path, sockets would have no room.
    with tempfile.TemporaryDirectory(prefix="shop-", dir="/tmp") as made_for_it:
        folder = Path(made_for_it)
        fake_torchserve.write_archive(folder / "store" / "tea.mar")
        (folder / "tmp").mkdir()
        own = fake_torchserve.install(folder) | {"TMPDIR": str(folder / "tmp")}
        made = Shop(folder, {**os.environ, **own, "FAKE_SILENT": str(folder / "silent")})
        yield made
        for process in made.processes():
            process.kill()


@pytest.mark.slow
def test_serve_names_every_address_and_status_says_what_runs(shop: Shop) -> None:
    assert shop.run("status", "--state", str(shop.state)).returncode == 1

    served = shop.run(*shop.arguments)

    assert served.returncode == 0, served.stderr
    server = running(shop.state)
    assert server is not None
    for address in (server.inference, server.management, server.metrics, server.grpc_inference, server.grpc_management):
        assert address is not None
        assert address in served.stderr
    said = shop.run("status", "--state", str(shop.state))
    assert said.returncode == 0, said.stderr
    assert "tea 1.0" in said.stdout
    assert "1 READY" in said.stdout
    told = json.loads(shop.run("status", "--state", str(shop.state), "--json").stdout)
    assert (told["running"], told["serves"], told["pid"]) == (True, True, server.pid)
    assert told["models"] == [{"model": "tea", "version": "1.0", "default": True, "workers": ["READY"]}]
    (shop.folder / "silent").touch()
    assert shop.run("status", "--state", str(shop.state)).returncode == 1, "no worker is ready"

    assert shop.run("stop", "--state", str(shop.state)).returncode == 0
    assert shop.processes() == []
    assert not any((shop.folder / "tmp").iterdir())
    assert json.loads(shop.run("status", "--state", str(shop.state), "--json").stdout) == {"running": False}


@pytest.mark.slow
def test_a_shipped_configuration_goes_by_its_name(shop: Shop) -> None:
    served = shop.run(*shop.arguments, "--properties", "production")

    assert served.returncode == 0, served.stderr
    assert "Requests need a key" in served.stderr
    assert shop.run("status", "--state", str(shop.state)).returncode == 0, "the management key is read"
    unknown = shop.run_here(*shop.arguments, "--properties", "produktion")
    assert unknown.returncode == 2
    assert "config, production, rollout" in unknown.stderr


@pytest.mark.slow
def test_a_second_serve_waits_for_the_first_and_then_refuses(shop: Shop) -> None:
    (shop.folder / "silent").touch()
    with shop.begin(*shop.arguments) as first:
        eventually(lambda: (shop.state / "server.json").is_file() and len(shop.processes()) >= 2)
        hasty = shop.run(*shop.arguments, "--timeout", "0.2")
        assert hasty.returncode == 2
        assert "Another marwright is starting or stopping" in hasty.stderr
        with shop.begin(*shop.arguments) as second:
            (shop.folder / "silent").unlink()
            assert first.wait(60) == 0
            assert second.wait(60) == 2
            assert second.stderr is not None
            assert "already runs at" in second.stderr.read()
    server = running(shop.state)
    assert server is not None
    assert {process.pid for process in shop.processes()} >= {server.pid}
    assert len(shop.processes()) == 2, "one frontend with its worker"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGTERM, []), (signal.SIGTERM, ["--foreground"]), (signal.SIGINT, []), (signal.SIGHUP, [])],
)
def test_a_signal_while_a_server_starts_leaves_nothing(shop: Shop, number: int, options: list[str]) -> None:
    (shop.folder / "silent").touch()
    with shop.begin(*shop.arguments, *options) as starting:
        eventually(lambda: len(shop.processes()) >= 2)
        eventually(lambda: "label" in (shop.state / "logs" / "console.log").read_text())
        starting.send_signal(number)
        assert starting.wait(30) == 130
        assert starting.stderr is not None
        assert ("a \\x1b[31mlabel" in (shown := starting.stderr.read())) == bool(options)
        assert "\x1b" not in shown
    eventually(lambda: shop.processes() == [])
    assert not (shop.state / "server.json").exists()
    assert not any((shop.folder / "tmp").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("noted", [True, False])
def test_a_server_whose_starter_was_killed_can_be_stopped(shop: Shop, noted: bool) -> None:
    (shop.folder / "silent").touch()
    with shop.begin(*shop.arguments) as starting:
        eventually(lambda: (there := recall(shop.state)) is not None and there.pid and len(shop.processes()) >= 2)
        starting.kill()
    server = recall(shop.state)
    assert server is not None
    if not noted:  # as if it had been killed a moment earlier
        remember(shop.state, dataclasses.replace(server, pid=0, identity=None))

    assert (stop(shop.state, grace_s=0) is not None) == noted

    assert shop.processes() == []
    assert recall(shop.state) is None


@pytest.mark.slow
def test_stop_ends_a_server_that_is_not_ready_yet(shop: Shop) -> None:
    (shop.folder / "silent").touch()
    with shop.begin(*shop.arguments) as starting:
        eventually(lambda: (there := recall(shop.state)) is not None and there.pid)
        assert stop(shop.state) is not None
        assert starting.wait(30) == 2
        assert starting.stderr is not None
        assert "ended while it started" in starting.stderr.read()
    assert shop.processes() == []
    assert recall(shop.state) is None


@pytest.mark.slow
def test_serve_refuses_what_lint_calls_an_error_and_goes_on_if_told(shop: Shop) -> None:
    mine = shop.folder / "mine.conf"
    mine.write_text("job_queue_size: 100 requests\ndisable_token_authorization true\nallowed_urls=(?!)\n")

    refused = shop.run_here(*shop.arguments, "--properties", str(mine))

    assert refused.returncode == 2
    assert f"{mine}:1: error: job_queue_size='100 requests'" in refused.stderr
    assert "--no-lint" in refused.stderr
    assert not shop.state.exists()
    unreadable = shop.folder / "unreadable.properties"
    unreadable.write_text("\ufeffjob_queue_size=100\n", encoding="utf-8")
    refused_too = shop.run_here(*shop.arguments, "--properties", str(unreadable))
    assert "line 1: saved with a byte order mark" in refused_too.stderr
    assert "--no-lint" not in refused_too.stderr, "it would not help"
    assert "log4j" not in refused.stderr, "serve brings a log configuration itself"
    assert shop.run(*shop.arguments, "--properties", str(mine), "--no-lint").returncode == 0


@pytest.mark.slow
def test_a_server_whose_start_cannot_be_told_is_stopped(shop: Shop) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "marwright", *shop.arguments, "--json"]
    served = subprocess.run(
        command, cwd=shop.folder, env=shop.environment, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)

    assert served.returncode != 0
    assert b"Traceback" not in served.stderr
    assert shop.processes() == []
    assert recall(shop.state) is None


@pytest.mark.slow
def test_serve_takes_the_model_store_of_the_properties(shop: Shop) -> None:
    mine = shop.folder / "mine.properties"
    mine.write_text(
        "model_store=store\ndisable_token_authorization=true\nenable_metrics_api=false\nallowed_urls=(?!)\n"
    )
    state = ["--state", str(shop.state), "--free-ports"]
    served = marwright_process(
        "serve", "--properties", str(mine), *state, cwd=shop.folder / "tmp", env=shop.environment
    )

    assert served.returncode == 0, served.stderr
    assert "TorchServe answers with tea" in served.stderr
    assert "metrics" not in served.stderr, "its address would not answer"
    assert shop.run("status", "--state", str(shop.state)).returncode == 0


@pytest.mark.slow
def test_serve_lints_the_archives_it_loads_and_says_warnings(shop: Shop) -> None:
    store = shop.folder / "store"
    fake_torchserve.write_archive(
        store / "slow.mar", "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 2\nmaxBatchDelay: 500\n"
    )
    fake_torchserve.write_archive(store / "typo.mar", "minWorkers: 1\nmaxWorkers: 1\nbatchsize: 2\nmaxBatchDelay: 1\n")

    refused = shop.run_here(*shop.arguments)
    served = shop.run(*shop.arguments, "--model", "slow", "--model", "tea")

    assert refused.returncode == 2
    assert "typo.mar!model-config.yaml:3: error" in refused.stderr
    with zipfile.ZipFile(store / "odd.mar", "w") as odd:
        odd.writestr("h.py", "")
    unreadable = shop.run_here(*shop.arguments, "--model", "odd")
    assert unreadable.returncode == 2
    assert "--no-lint" in unreadable.stderr
    assert served.returncode == 0, served.stderr
    assert "slow.mar!model-config.yaml:4: warning" in served.stderr


# --- what a state folder says ----------------------------------------------------------------------------------------


def noted(state: Path, **changed: Any) -> RunningServer:
    state.mkdir(exist_ok=True)
    scratch = state.parent / "marwright-scratch"
    scratch.mkdir(exist_ok=True)
    here = ProcessIdentity.of(os.getpid())
    server = RunningServer(
        os.getpid(), time.time(), "i", "m", "p", ("tea",), "l", str(scratch), "j", "f", identity=here
    )
    server = dataclasses.replace(server, **changed)
    remember(state, server)
    return server


@pytest.mark.parametrize("step_s", [-86400.0, -2.0, 2.0, 86400.0])
def test_a_step_of_the_clock_kills_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    server = noted(tmp_path / "state")
    created = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created + step_s)
    monkeypatch.setattr(time, "time", lambda: server.started + step_s)

    assert running(tmp_path / "state") == server
    assert Path(server.scratch).is_dir()


@pytest.mark.parametrize("other", [{"boot": "another boot"}, {"started": "1"}], ids=str)
def test_a_number_that_another_process_has_now_is_no_server(tmp_path: Path, other: dict[str, str]) -> None:
    here = ProcessIdentity.of(os.getpid())
    assert here is not None
    server = noted(tmp_path / "state", identity=dataclasses.replace(here, **other))

    assert stop(tmp_path / "state") is None, "and this process was not ended"
    assert not Path(server.scratch).exists()


def test_a_process_that_nobody_collects_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        eventually(lambda: ProcessIdentity.of(ended.pid) is None)
    assert ProcessIdentity.of(ended.pid) is None


def test_a_folder_of_an_older_marwright_is_understood(tmp_path: Path) -> None:
    state = tmp_path / "state"
    server = noted(state)
    fields = json.loads((state / "server.json").read_text())
    for key in ("format", "identity", "grpc_inference", "grpc_management"):
        del fields[key]
    (state / "server.json").write_text(json.dumps(fields))

    assert recall(state) == dataclasses.replace(server, identity=None)
    assert running(state) is None, "this process is not one of TorchServe's"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"format": 3, "models": ["tea"]}', "not what marwright writes|newer marwright"),
        ("{", "is not what marwright writes there"),
        ("[]", "is not what marwright writes there"),
        ('{"pid": 1}', "is not what marwright writes there"),
        ("\xff", "is not what marwright writes there"),
    ],
)
def test_a_folder_that_makes_no_sense_is_never_taken_for_empty(shop: Shop, text: str, sentence: str) -> None:
    shop.state.mkdir()
    (shop.state / "server.json").write_bytes(text.encode("latin-1"))
    for call in (lambda: running(shop.state), lambda: stop(shop.state)):
        with pytest.raises(ServerError, match=sentence):
            call()
    served = shop.run_here(*shop.arguments)
    assert served.returncode == 2
    assert "Traceback" not in served.stderr
    assert shop.processes() == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_is_never_taken_for_a_folder_without_a_server(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    for call in (running, stop):
        with pytest.raises(ServerError, match=f"^{tmp_path / place} is a file, or lies below one; --state names"):
            call(tmp_path / place)


def test_a_newer_folder_is_left_to_the_newer_marwright(tmp_path: Path) -> None:
    noted(tmp_path / "state")
    file = tmp_path / "state" / "server.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 3, "later": 1}))
    with pytest.raises(ServerError, match="newer marwright"):
        running(tmp_path / "state")


@pytest.mark.parametrize("where", ["a file", "below a file", "nowhere"])
def test_a_state_that_is_no_folder_is_refused_in_a_sentence(shop: Shop, where: str) -> None:
    (shop.folder / "file").touch()
    state = {"a file": shop.folder / "file", "below a file": shop.folder / "file" / "x", "nowhere": Path("/proc/x")}[
        where
    ]
    done = shop.run_here(*shop.arguments[:3], "--state", str(state), "--free-ports")
    assert done.returncode == 2, done.stderr
    assert "--state" in done.stderr
    assert "Traceback" not in done.stderr
    # A folder that is not there has no server; a file is no such folder.
    stopped, asked = (shop.run_here(verb, "--state", str(state)) for verb in ("stop", "status"))
    assert (stopped.returncode, asked.returncode) == ((0, 1) if where == "nowhere" else (2, 2))
    assert ("--state names a folder" in stopped.stderr) == (where != "nowhere")
    assert shop.processes() == []


def test_a_full_disk_is_a_sentence_and_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "server.json")

    monkeypatch.setenv("JAVA_HOME", shop.environment["JAVA_HOME"])
    monkeypatch.setattr("tempfile.tempdir", str(shop.folder / "tmp"))
    monkeypatch.setattr("marwright.server.server.remember", full)
    with pytest.raises(ServerError, match=r"No space left.*make room"):
        start(shop.folder / "store", state=shop.state)
    assert not any((shop.folder / "tmp").iterdir())


def test_whatever_stops_a_start_leaves_no_scratch_folder(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> Path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), "store")

    monkeypatch.setenv("JAVA_HOME", shop.environment["JAVA_HOME"])
    monkeypatch.setattr("tempfile.tempdir", str(shop.folder / "tmp"))
    monkeypatch.setattr(Path, "resolve", gone)
    with pytest.raises(ServerError):
        start(shop.folder / "store", state=shop.state)
    assert not any((shop.folder / "tmp").iterdir())


def test_one_process_at_a_time_holds_a_state_folder(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(ServerError, match="Another marwright"), alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass


def test_sockets_have_room_in_their_paths_wherever_the_temporary_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    folder = make_socket_folder("marwright-")
    folder.rmdir()
    assert len(str(folder / ".ts.sock.65535")) <= 104

    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    with pytest.raises(MarwrightError, match="TMPDIR"):
        make_socket_folder("marwright-")
