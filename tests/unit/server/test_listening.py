"""Where a server listens, as TorchServe has it, and what is said where it cannot."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from marwright.errors import ServerError
from marwright.server import Ports
from marwright.server.ports import Listener, require_free
from marwright.server.properties import Properties


def written(tmp_path: Path, *lines: str) -> Properties:
    file = tmp_path / "config.properties"
    file.write_text("\n".join(lines), encoding="utf-8")
    return Properties.read(file)


@pytest.mark.parametrize(
    ("key", "scheme", "port"),
    [
        ("inference_address", "http", 80),
        ("inference_address", "https", 443),
        ("management_address", "http", 8081),
        ("metrics_address", "http", 8082),
        ("metrics_address", "https", 8445),
    ],
)
def test_an_address_without_a_port_has_torchserves(tmp_path: Path, key: str, scheme: str, port: int) -> None:
    assert written(tmp_path, f"{key}={scheme}://127.0.0.1").address(key).url == f"{scheme}://127.0.0.1:{port}"
    assert written(tmp_path).address("inference_address").port == Ports().inference


def test_metrics_that_are_off_have_no_address_and_need_no_port(tmp_path: Path) -> None:
    config = written(tmp_path, "enable_metrics_api=false")

    assert config.metrics_address() is None
    assert "metrics_address" not in {listener.key for listener in config.listeners(None)}


def test_inference_and_management_may_share_an_address_and_metrics_may_not(tmp_path: Path) -> None:
    port = Ports.free().inference
    both = [f"{key}=http://127.0.0.1:{port}" for key in ("inference_address", "management_address")]
    assert [listener.key for listener in written(tmp_path, *both).listeners(None)].count("management_address") == 0

    all_three = written(tmp_path, *both, f"metrics_address=http://127.0.0.1:{port}").listeners(None)
    with pytest.raises(ServerError, match=f"inference_address and metrics_address both say port {port}"):
        require_free(all_three, configured_in="x")


def test_a_port_that_torchserve_tells_nobody_is_not_shown(tmp_path: Path) -> None:
    config = written(tmp_path, "grpc_inference_port=0", "grpc_management_port=0")

    assert config.grpc_address("inference") is None
    assert [listener.port for listener in config.listeners(Ports())][-2:] == [7070, 7071]
    require_free(config.listeners(None)[-2:], configured_in="x")


def test_one_port_on_two_addresses_of_this_machine_is_no_clash() -> None:
    port = Ports.free().inference
    require_free([Listener("a", "127.0.0.1", port), Listener("b", "127.0.0.2", port)], configured_in="x")
    with pytest.raises(ServerError, match=f"a and b both say port {port}"):
        require_free([Listener("a", "127.0.0.1", port), Listener("b", "0.0.0.0", port)], configured_in="x")


@pytest.mark.parametrize("key", ["inference_address", "management_address", "metrics_address", "grpc_inference_port"])
@pytest.mark.parametrize("port", ["70000", "9" * 5000])
def test_a_port_that_is_none_is_refused_by_its_line(tmp_path: Path, key: str, port: str) -> None:
    line = f"{key}={port}" if key.endswith("port") else f"{key}=http://127.0.0.1:{port}"
    with pytest.raises(ServerError, match=line):
        written(tmp_path, line).listeners(None)
    if not key.endswith("port"):
        assert written(tmp_path, f"{key}=http://127.0.0.1:0000008080").address(key).port == 8080
        with pytest.raises(ServerError, match="write a port from 1 to 65534"):
            written(tmp_path, f"{key}=http://127.0.0.1:0").listeners(None)


@pytest.mark.parametrize("number", sorted(errno.errorcode.keys() - {errno.EADDRINUSE}), ids=errno.errorcode.get)
def test_a_port_is_taken_only_where_somebody_has_it(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "bind", refused)
    with pytest.raises(ServerError, match="inference_address") as told:
        require_free([Listener("inference_address", "h", 8080)], configured_in="mine.properties")
    assert "taken" not in str(told.value)
    assert "mine.properties" in str(told.value)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (socket.gaierror(-2, "Name or service not known"), "names the host h, which is not found: write 127.0.0.1"),
        (UnicodeEncodeError("idna", "h", 0, 1, "label too long"), "names the host h, which is not found"),
        (OSError(errno.EADDRNOTAVAIL, ""), "names h, no address of this machine: write 127.0.0.1"),
        (PermissionError(errno.EACCES, ""), "says port 80, which this user may not use: write one from 1024 on"),
    ],
    ids=repr,
)
def test_each_reason_why_nobody_can_listen_has_its_cure(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket.socket, "bind", refused)
    with pytest.raises(ServerError, match=f"^mine.properties: inference_address {sentence}"):
        require_free([Listener("inference_address", "h", 80)], configured_in="mine.properties")
