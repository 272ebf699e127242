"""What keeps a server from starting is said before it starts, and none is left that does not answer."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fake_torchserve import write_archive
from marwright.errors import MarwrightError, ServerError
from marwright.mar import layout
from marwright.release.plan import Plan
from marwright.server import RunningServer, start
from marwright.server.archives import archives_expected
from marwright.server.client import TorchServe
from marwright.server.failure import StartLog
from marwright.server.properties import Properties
from marwright.server.readiness import require_an_answer, wait_until_ready
from told_server import answering

SECRET_REFUSED = {"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed."}


def configured(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.properties"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("timeout_s", [0, -1, math.nan, math.inf])
def test_a_time_that_is_none_starts_nothing(tmp_path: Path, timeout_s: float) -> None:
    write_archive(tmp_path / "store" / "tea.mar")
    with pytest.raises(ServerError, match="--timeout must be a positive number of seconds"):
        start(tmp_path / "store", state=tmp_path / "state", timeout_s=timeout_s)
    assert not (tmp_path / "state").exists()
    with pytest.raises(MarwrightError, match="--ready-timeout must be a positive number of seconds"):
        Plan(ready_s=timeout_s)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("", "load_models= loads no archive: write load_models=all"),
        ("none", "load_models=none loads no archive"),
        (",", "load_models=, loads no archive"),
        ("other.mar", r"names other\.mar, which .* does not have: .* out of tea\.mar"),
        ("tea.mar, tea.mar", r"names  tea\.mar, which"),
        ('["tea.mar"]', r'names \["tea\.mar"\], which'),
    ],
)
def test_a_server_that_would_load_nothing_is_not_started(tmp_path: Path, names: str, sentence: str) -> None:
    write_archive(tmp_path / "store" / "tea.mar")
    with pytest.raises(ServerError, match=sentence):
        start(tmp_path / "store", configured(tmp_path, f"load_models={names}\n"), state=tmp_path / "state")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("ALL", ["green.mar", "tea.mar"]),
        ("tea.mar", ["tea.mar"]),
        ("a=tea.mar,", ["tea.mar"]),
        ("https://example.com/a.mar", ["https://example.com/a.mar"]),
    ],
)
def test_a_server_is_ready_when_it_has_loaded_what_it_is_told(tmp_path: Path, names: str, expected: list[str]) -> None:
    for name in ("tea", "green"):
        write_archive(tmp_path / "store" / f"{name}.mar")
    config = Properties.read(configured(tmp_path, f"load_models={names}\n"))

    assert archives_expected(config, tmp_path / "store", ()) == expected
    assert archives_expected(config, tmp_path / "store", ["green"]) == ["green.mar"]


def test_the_folder_that_the_properties_name_is_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()

    assert Properties.read(configured(tmp_path, "model_store=archives\n")).model_store() == tmp_path / "archives"
    assert Properties.read(configured(tmp_path, "model_store=/none/here\n")).model_store() == Path("/none/here")
    assert Properties.read(configured(tmp_path, "")).model_store() is None


def server_of(client: TorchServe, logs: Path) -> RunningServer:
    return RunningServer(
        1, 1.0, client.inference, client.management, None, ("tea",), str(logs), "s", "java", "my.properties"
    )


def test_a_refusal_while_it_starts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunningServer, "is_alive", lambda _: True)
    with (
        answering(lambda *_: (400, SECRET_REFUSED)) as client,
        pytest.raises(
            ServerError, match=r"its management address .*remove token_expiration_min from my\.properties"
        ) as told,
    ):
        wait_until_ready(server_of(client, tmp_path), archives=["tea.mar"], log=StartLog(tmp_path), timeout_s=0.3)
    assert "large model" not in str(told.value)

    refused = {"code": 503, "message": "Out of threads"}
    with answering(lambda *_: (503, refused)) as client, pytest.raises(ServerError, match="503, Out of threads"):
        wait_until_ready(server_of(client, tmp_path), archives=["tea.mar"], log=StartLog(tmp_path), timeout_s=0.3)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a?b"])
def test_a_name_that_no_path_can_have_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(RunningServer, "is_alive", lambda _: True)
    listed = {"models": [{"modelName": name, "modelUrl": "tea.mar"}]}
    with (
        answering(lambda *_: (200, listed)) as client,
        pytest.raises(ServerError, match=r"^tea\.mar: nobody can ask for .*load_models=NAME=tea\.mar"),
    ):
        wait_until_ready(server_of(client, tmp_path), archives=["tea.mar"], log=StartLog(tmp_path), timeout_s=60)


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (
            "Invalid maximum heap size: -Xmx512x\nError: Could not create the Java Virtual Machine.",
            "Invalid maximum heap",
        ),
        ("Unrecognized option: --no\nError: Could not create the Java Virtual Machine.", "Unrecognized option: --no"),
        ("Error occurred during initialization of VM\nToo small maximum heap", "Too small maximum heap"),
    ],
)
def test_an_option_that_java_does_not_take_is_told_with_its_key(tmp_path: Path, printed: str, reason: str) -> None:
    log = StartLog(tmp_path)
    (tmp_path / "console.log").write_text(f"Warning: non-default JVM parameters: -Xmx1g\n{printed}\n")

    assert log.last_words().startswith(reason)
    assert "vmargs has an option that this Java does not take" in log.last_words()


def of_marwright(file: Path) -> Path:
    write_archive(file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(layout.SETUP, "{}")
    return file


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (413, r"413, too much .*Remove max_request_size from my\.properties"),
        (500, r"500, too much .*marwright lint my\.properties"),
        (503, r"503, too much"),
        (0, r"no answer came"),
    ],
)
def test_a_model_that_does_not_answer_is_found_out(tmp_path: Path, status: int, cure: str) -> None:
    of_marwright(tmp_path / "tea.mar")

    def told(method: str, _path: str, _headers: dict[str, str]) -> tuple[int, Any]:
        listed = {"models": [{"modelName": "tea", "modelUrl": "tea.mar"}]}
        return (200, listed) if method == "GET" else (status, {"message": "too much"})

    with answering(told) as client, pytest.raises(ServerError, match=f"tea does not answer: {cure}"):
        require_an_answer(server_of(client, tmp_path), tmp_path)


@pytest.mark.parametrize(("ours", "status"), [(True, 200), (True, 400), (False, 500)])
def test_an_answer_is_an_answer_and_strangers_are_not_asked(tmp_path: Path, ours: bool, status: int) -> None:
    (of_marwright if ours else write_archive)(tmp_path / "tea.mar")
    asked = []

    def told(method: str, path: str, _headers: dict[str, str]) -> tuple[int, Any]:
        asked.append(method)
        names = {"tea": "tea.mar", "fetched": "https://example.com/a.mar"}
        listed = {"models": [{"modelName": name, "modelUrl": file} for name, file in names.items()]}
        return (200, listed) if method == "GET" else (status, json.dumps(path))

    with answering(told) as client:
        require_an_answer(server_of(client, tmp_path), tmp_path)
    assert asked.count("POST") == ours
